import hashlib
from pathlib import Path

import pytest

from conf.sources.folder import Source
from storage.dataset import ContentChanged, ContentGone, ContentReader, Ledger, LedgerRow, open_rows

TEXT = b"these bytes"
SHA = hashlib.sha256(TEXT).hexdigest()


def reader(folder: Path, *uris: str) -> ContentReader:
    rows = [LedgerRow(uri, SHA, "train", 0, None, "ok", None, len(TEXT), 1, 1) for uri in uris]
    return ContentReader(open_rows(Source(root=folder)), Ledger.of(rows))


def test_a_content_is_read_by_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(TEXT)
    assert reader(tmp_path, "a.jpg").read(SHA) == TEXT


def test_other_bytes_are_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"others")
    found = hashlib.sha256(b"others").hexdigest()[:16]
    with pytest.raises(ContentChanged) as caught:
        reader(tmp_path, "a.jpg").read(SHA)
    assert str(caught.value) == (
        f"a.jpg: the ledger lists 11 bytes with sha256 {SHA[:16]}..., and it is 6 bytes with "
        f"sha256 {found}... now. Run again: the scan will take it up."
    )


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContentGone) as caught:
        reader(tmp_path, "a.jpg").read(SHA)
    assert str(caught.value) == (
        f"a.jpg: the ledger lists 11 bytes with sha256 {SHA[:16]}..., and it is gone: there is no "
        "such file. Run again: the scan will take it up."
    )


def test_a_duplicate_stands_in_for_a_file_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "c.jpg").write_bytes(TEXT)
    (tmp_path / "b.jpg").write_bytes(b"others")
    assert reader(tmp_path, "a.jpg", "b.jpg", "c.jpg").read(SHA) == TEXT


def test_a_content_that_the_ledger_does_not_list_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        reader(tmp_path, "a.jpg").read("0" * 64)
