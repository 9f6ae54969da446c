import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.sources.npz import Source
from storage.readers.arrays import ArrayRows, unpack
from storage.readers.npz import open_source
from storage.readers.protocol import SourceMissing, SourceUnusable, Unreadable


def images(count: int, *shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8)


MEDMNIST = {
    "test_images": images(2, 28, 28, 3),
    "test_labels": np.array([[5], [6]], np.uint8),
    "train_images": images(3, 28, 28, 3),
    "train_labels": np.array([[1], [0], [7]], np.uint8),
    "val_images": images(1, 28, 28, 3),
    "val_labels": np.array([[2]], np.uint8),
}


def opened(folder: Path, arrays: dict[str, Any], **settings: Any) -> ArrayRows:
    path = folder / "medmnist.npz"
    np.savez_compressed(path, **arrays)
    return open_source(Source(path=path, **settings), ())


def refusal(folder: Path, **arrays: Any) -> str:
    with pytest.raises(SourceUnusable) as caught:
        opened(folder, MEDMNIST | arrays).entries()
    return str(caught.value)


def test_splits_come_in_the_order_train_val_test(tmp_path: Path) -> None:
    entries = opened(tmp_path, MEDMNIST).entries()
    assert [(e.uri, e.split, e.label) for e in entries] == [
        ("train/00000", "train", 1),
        ("train/00001", "train", 0),
        ("train/00002", "train", 7),
        ("val/00000", "val", 2),
        ("test/00000", "test", 5),
        ("test/00001", "test", 6),
    ]


def test_a_row_is_its_image(tmp_path: Path) -> None:
    rows = opened(tmp_path, MEDMNIST)
    assert np.array_equal(unpack(rows.read("test/00001")), MEDMNIST["test_images"][1])


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1)])
def test_grey_images_are_grey_with_or_without_an_axis(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    rows = opened(tmp_path, {"train_images": images(2, *shape)})
    assert unpack(rows.read("train/00001")).shape == (28, 28)
    assert [e.label for e in rows.entries()] == [-1, -1]


def test_every_row_has_a_stamp_of_its_own(tmp_path: Path) -> None:
    rows = opened(tmp_path, MEDMNIST)
    entries = rows.entries()
    assert len({e.stamp for e in entries}) == len(entries)
    assert entries[3].stamp == rows.stamp("val/00000")


def test_the_limit_takes_the_first_rows(tmp_path: Path) -> None:
    uris = [entry.uri for entry in opened(tmp_path, MEDMNIST, limit=4).entries()]
    assert uris == ["train/00000", "train/00001", "train/00002", "val/00000"]


def test_many_threads_read_the_same_images(tmp_path: Path) -> None:
    rows = opened(tmp_path, MEDMNIST)
    uris = [entry.uri for entry in rows.entries()] * 20
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(rows.read, uris)) == [rows.read(uri) for uri in uris]


def test_a_replaced_archive_is_read_anew(tmp_path: Path) -> None:
    rows = opened(tmp_path, MEDMNIST)
    before = rows.read("train/00000")
    np.savez(tmp_path / "medmnist.npz", train_images=images(9, 4, 4))
    os.utime(tmp_path / "medmnist.npz", ns=(1, 1))
    assert rows.read("train/00000") != before
    with pytest.raises(Unreadable, match="gone: "):
        rows.read("val/00000")
    (tmp_path / "medmnist.npz").unlink()
    with pytest.raises(Unreadable, match="gone: "):
        rows.read("train/00000")


@pytest.mark.parametrize("uri", ["train/00003", "train/x", "train", "../etc", "val/-1"])
def test_a_row_that_is_not_there_is_gone(tmp_path: Path, uri: str) -> None:
    with pytest.raises(Unreadable, match="gone: "):
        opened(tmp_path, MEDMNIST).read(uri)


def test_python_objects_are_refused(tmp_path: Path) -> None:
    labels = np.array([{}, {}, {}], dtype=object)
    assert refusal(tmp_path, train_labels=labels).endswith(
        "it holds Python objects, and loading those runs code."
    )


def test_images_of_another_type_or_shape_are_refused(tmp_path: Path) -> None:
    expected = "images are uint8 (N, height, width), (N, height, width, 1) or (N, height, width, 3)"
    assert expected in refusal(tmp_path, val_images=np.zeros((1, 28, 28), np.float32))
    assert expected in refusal(tmp_path, val_images=np.zeros((1, 28, 28, 28), np.uint8))


def test_several_labels_an_image_are_refused_until_labels_are_given_up(tmp_path: Path) -> None:
    several = MEDMNIST | {"train_labels": np.zeros((3, 14), np.uint8)}
    assert "Set labels = false to do without them" in refusal(tmp_path, **several)
    assert {e.label for e in opened(tmp_path, several, labels=False).entries()} == {-1}


def test_labels_of_another_number_are_refused(tmp_path: Path) -> None:
    assert "labels are whole numbers, one an image, (3, 1)" in refusal(
        tmp_path, train_labels=np.zeros((2, 1), np.uint8)
    )


def test_an_archive_without_images_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        SourceUnusable, match=r"has none of train_images.* Did you mean 'train_imgs'"
    ):
        opened(tmp_path, {"train_imgs": images(1, 2, 2)}).entries()


def test_an_array_that_unpacks_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    rows = opened(tmp_path, MEDMNIST, max_gigabytes=1e-6)
    with pytest.raises(
        SourceUnusable, match=r"it unpacks to .* GB, the limit max_gigabytes is 1e-06"
    ):
        rows.entries()


def test_an_array_whose_header_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    file = BytesIO()
    np.save(file, images(2, 4, 4))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train_images.npy", file.getvalue() + bytes(1 << 20))
    with pytest.raises(SourceUnusable, match="bytes are packed"):
        open_source(Source(path=tmp_path / "a.npz"), ()).entries()


def test_what_is_no_archive_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"nothing")
    with pytest.raises(SourceUnusable, match="is not a NumPy archive, or is damaged"):
        open_source(Source(path=tmp_path / "a.npz"), ()).entries()


def test_a_missing_archive_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"the archive .*a.npz does not exist"):
        open_source(Source(path=tmp_path / "a.npz"), ())


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_an_archive_damaged_after_it_was_listed_is_broken_and_no_reason_says_where_it_lies(
    tmp_path: Path, compression: int
) -> None:
    file, path = BytesIO(), tmp_path / "a.npz"
    np.save(file, images(50, 8, 8))
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("train_images.npy", file.getvalue())
    rows = open_source(Source(path=path), ())
    assert len(rows.entries()) == 50
    data = path.read_bytes()
    path.write_bytes(data[:1000] + b"\xff" * 40 + data[1040:])
    with pytest.raises(Unreadable) as caught:
        rows.read("train/00000")
    assert caught.value.reason.startswith(
        "broken: the archive is not a NumPy archive, or is damaged: "
    )
    assert str(tmp_path) not in caught.value.reason


def test_whatever_byte_is_spoilt_an_archive_never_crashes(tmp_path: Path) -> None:
    rows = opened(tmp_path, {"train_images": images(2, 10, 10)})
    path = tmp_path / "medmnist.npz"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        os.utime(path, ns=(at, at))  # or the array in memory would do
        with suppress(Unreadable, SourceUnusable):
            rows.entries()
            rows.read("train/00000")


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    opened(tmp_path, MEDMNIST)
    data = bytearray((tmp_path / "medmnist.npz").read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(signature, at + 1)
    (tmp_path / "medmnist.npz").write_bytes(data)
    with pytest.raises(SourceUnusable, match=r"is encrypted, .* Make or fetch it again\.$"):
        open_source(Source(path=tmp_path / "medmnist.npz"), ()).entries()


def test_labels_beyond_what_a_ledger_holds_are_refused(tmp_path: Path) -> None:
    labels = np.array([0, 1, 1 << 63], np.uint64)
    assert refusal(tmp_path, train_labels=labels).endswith(
        "it holds 9223372036854775808; a label is a whole number from 0 to 9223372036854775807, "
        "and -1 says there is none."
    )
    labels = np.array([0, 1, (1 << 63) - 1], np.uint64)
    entries = opened(tmp_path, MEDMNIST | {"train_labels": labels}).entries()
    assert entries[2].label == (1 << 63) - 1
