"""The metadata archive: texts and numbers come back, and nothing that a pickle says is run."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.tokens.errors import BadActivations
from storage.tokens.npz import read_arrays


def saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "metadata.npz"
    np.savez(path, allow_pickle=True, **arrays)
    return path


def test_object_arrays_of_text_bytes_and_numbers_are_read(tmp_path: Path) -> None:
    given = {
        "texts": np.array(["Qué rico", "", "bien"], dtype=object),
        "ids": np.array([b"a", b"b", b"c"], dtype=object),
        "stars": np.array([5, 1, 3]),
        "mixed": np.array([1, 2.5, None], dtype=object),
        "numpy": np.array(
            [np.int64(3), np.float32(0.5), np.str_("é"), np.bytes_(b"b")], dtype=object
        ),
        "plain": np.array(["ab", "c", "d"]),
    }
    found = read_arrays(saved(tmp_path, **given))
    assert found.keys() == given.keys()
    for name, values in given.items():
        assert found[name].tolist() == values.tolist()


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def with_payload(folder: Path, payload: bytes) -> Path:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|O", "fortran_order": False, "shape": (1,)}
    )
    path = folder / "metadata.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("texts.npy", head.getvalue() + payload)
    return path


def test_a_hostile_pickle_raises_and_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    given = np.array([Evil(f"touch {trace}")], dtype=object)
    with pytest.raises(BadActivations, match=r"it asks for (posix|nt)\.system. Nothing of it was"):
        read_arrays(saved(tmp_path, texts=given))
    assert not trace.exists()


@pytest.mark.parametrize(
    "called",
    [b"cbuiltins\neval\n", b"cnumpy\nload\n", b"cnumpy.core.multiarray\nfromfile\n",
     b"cnumpy\nndarray.tofile\n", b"ccopyreg\n_reconstructor\n"],
)  # fmt: skip
def test_no_other_name_can_be_asked_for(tmp_path: Path, called: bytes) -> None:
    with pytest.raises(BadActivations, match="it asks for"):
        read_arrays(with_payload(tmp_path, called + b"."))


class Call:
    """Is unpickled as a call of a builder, with a state if there is one."""

    def __init__(self, *called: Any) -> None:
        self.called = called

    def __reduce__(self) -> tuple[Any, ...]:
        return self.called


FORGED = Call(
    np.dtype, ("V8", False, True), (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)
)
"""A dtype whose state says that 8 bytes are the address of an object."""
REBUILD = np.empty(0).__reduce__()[0]


@pytest.mark.parametrize(
    "given",
    [
        Call(np.dtype, ([Call(REBUILD, (np.ndarray, (0,), b"b"),
                              (1, (1,), FORGED, False, b"A" * 8))], False, True)),
        Call(REBUILD, (np.ndarray, (0,), b"b"), (1, (1,), FORGED, False, b"A" * 8)),
        Call(np.ndarray, ((1,), np.dtype("O"), b"A" * 8)),
        Call(np.dtype, ("O8", False, True), (3, "|", None, ("a",), {"a": 1}, 8, 1, 0)),
    ],
)  # fmt: skip
def test_bytes_never_become_addresses(tmp_path: Path, given: Any) -> None:
    # With NumPy's own builders the first of these ends the process.
    with pytest.raises(BadActivations, match="Nothing of it was run"):
        read_arrays(with_payload(tmp_path, pickle.dumps(given, protocol=4)))


def test_damaged_compression_is_told(tmp_path: Path) -> None:
    path = tmp_path / "metadata.npz"
    np.savez_compressed(path, stars=np.arange(10_000))
    data = bytearray(path.read_bytes())
    data[60:90] = b"\xff" * 30
    path.write_bytes(data)
    with pytest.raises(BadActivations, match="not a whole NPZ archive"):
        read_arrays(path)


@pytest.mark.parametrize("value", [{"a": 1}, [1], object])
def test_other_objects_are_refused(tmp_path: Path, value: Any) -> None:
    given = np.empty(1, dtype=object)
    given[0] = value
    with pytest.raises(BadActivations):
        read_arrays(saved(tmp_path, texts=given))


@pytest.mark.parametrize("payload", [b"", b"garbage", pickle.dumps([1])])
def test_what_is_no_array_is_refused(tmp_path: Path, payload: bytes) -> None:
    with pytest.raises(BadActivations):
        read_arrays(with_payload(tmp_path, payload))


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, stars=np.arange(1000))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadActivations, match="not a whole NPZ archive"):
        read_arrays(path)


def test_a_missing_archive_says_which_setting_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(BadActivations, match=r"no metadata file .* Set files\.metadata"):
        read_arrays(tmp_path / "none.npz")
