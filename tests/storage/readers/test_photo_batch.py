"""The standard images of a batch: inside the roots, or rows that say why not."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from conf.sources.photo_batch import Source
from storage.photos.batches import BatchInvalid
from storage.readers.photo_batch import BatchPlaces, BatchRows, open_source
from storage.readers.protocol import SourceMissing, Unreadable


def batch(folder: Path, *uris: str | None) -> Path:
    """Write a batch of photos whose standard images are at `uris`, and one image, ok.png."""
    Image.new("RGB", (8, 8)).save(folder / "ok.png")
    photos = [
        {"photo_id": f"{at:064x}", "original_uri": "./ok.png", "std_uri": uri}
        for at, uri in enumerate(uris)
    ]
    path = folder / "batch.json"
    path.write_text(json.dumps({"batch_id": "b", "artifacts": photos}))
    return path


def rows(path: Path, *roots: Path) -> BatchRows:
    return open_source(Source(path=path), roots)


def test_a_row_is_named_by_its_photo_id_and_read_from_its_standard_image(tmp_path: Path) -> None:
    opened = rows(batch(tmp_path, "./ok.png"))
    (entry,) = opened.entries()
    assert entry.uri == f"{0:064x}"
    assert opened.read(entry.uri) == (tmp_path / "ok.png").read_bytes()


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("../../../../../etc/hostname", "outside the roots"),
        ("/etc/hostname", "outside the roots"),
        ("./link.png", "outside the roots"),
        ("./none.png", "gone"),
        ("./fifo.png", "not a file: a FIFO"),
        ("./a\0b.png", "not a path"),
        (".", "not a file: a directory"),
        (None, "no std_uri"),
    ],
)
def test_what_cannot_be_read_is_a_row_with_a_reason(
    tmp_path: Path, uri: str | None, reason: str
) -> None:
    (tmp_path / "link.png").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "fifo.png")
    (entry,) = rows(batch(tmp_path, uri)).entries()
    assert entry.problem is not None
    assert entry.problem.startswith(reason)


def test_a_configured_root_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "batches").mkdir()
    path = batch(tmp_path / "batches", "../ok.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "ok.png")
    assert rows(path).entries()[0].problem is not None
    assert rows(path, tmp_path).entries()[0].problem is None


def test_a_uri_is_a_name_as_it_stands_before_it_is_an_encoded_one(tmp_path: Path) -> None:
    (tmp_path / "50%20.png").write_bytes(b"literal")
    (tmp_path / "a b.png").write_bytes(b"decoded")
    places = BatchPlaces(tmp_path, ())
    assert Path(places.path("./50%20.png")).read_bytes() == b"literal"
    assert Path(places.path("./a%20b.png")).read_bytes() == b"decoded"
    with pytest.raises(Unreadable, match="outside the roots"):
        places.path("%2e%2e/%2e%2e/etc/hostname")


def test_no_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"none\.json does not exist"):
        rows(tmp_path / "none.json")
    (tmp_path / "wrong.json").write_text('{"artifacts": []}')
    with pytest.raises(BatchInvalid, match="batch_id: Field required"):
        rows(tmp_path / "wrong.json")
