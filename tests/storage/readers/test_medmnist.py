import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.errors import RecipeError
from conf.sources.medmnist import Source
from storage.readers.medmnist import open_source
from storage.readers.protocol import SourceMissing


def write_archive(path: Path) -> None:
    drawn = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, labels in (("train", [0, 3]), ("val", [6]), ("test", [7])):
        arrays[f"{split}_images"] = drawn.integers(0, 256, (len(labels), 28, 28, 3), np.uint8)
        arrays[f"{split}_labels"] = np.array(labels, np.uint8)[:, None]
    np.savez(path, **arrays)


def test_rows_have_the_splits_and_the_names_of_their_labels(tmp_path: Path) -> None:
    write_archive(tmp_path / "bloodmnist.npz")
    rows = open_source(Source(name="bloodmnist", root=tmp_path), ()).entries()
    assert [(row.uri, row.split, row.label) for row in rows] == [
        ("train/00000", "train", 0),
        ("train/00001", "train", 3),
        ("val/00000", "val", 6),
        ("test/00000", "test", 7),
    ]
    assert [row.label_name for row in rows][::3] == ["basophil", "platelet"]


def test_larger_images_lie_in_an_archive_of_their_own(tmp_path: Path) -> None:
    write_archive(tmp_path / "bloodmnist_224.npz")
    assert open_source(Source(name="bloodmnist", root=tmp_path, size_px=224), ()).entries()


def test_an_unknown_dataset_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no dataset 'bloodminst'\. Did you mean 'bloodmnist'"):
        open_source(Source(name="bloodminst", root=tmp_path), ())


def test_a_size_that_the_dataset_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"no organmnist3d of 224 pixels; source.size_px may be 2"
    ):
        open_source(Source(name="organmnist3d", root=tmp_path, size_px=224), ())


def test_without_download_an_absent_archive_says_where_it_is_had(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"download is false. Download https://zenodo\.org"):
        open_source(Source(name="bloodmnist", root=tmp_path, download=False), ())


def test_offline_one_clear_error_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Offline:
        def __init__(self, **given: Any) -> None:
            (Path(given["root"]) / "bloodmnist.npz").write_bytes(b"half")
            raise RuntimeError("Automatic download failed!")

    class Package:
        BloodMNIST = Offline

    monkeypatch.setattr(importlib, "import_module", lambda name: Package)
    root = tmp_path / "new"
    with pytest.raises(SourceMissing, match=r"is there a network\? Download https://zenodo"):
        open_source(Source(name="bloodmnist", root=root), ())
    assert list(root.iterdir()) == []


def test_what_the_package_downloads_is_moved_into_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Online:
        def __init__(self, *, root: str, **given: Any) -> None:
            write_archive(Path(root) / "bloodmnist.npz")

    class Package:
        BloodMNIST = Online

    monkeypatch.setattr(importlib, "import_module", lambda name: Package)
    rows = open_source(Source(name="bloodmnist", root=tmp_path), ()).entries()
    assert len(rows) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["bloodmnist.npz"]
