import os
import socket
from pathlib import Path

import pytest

from conf.sources.folder import Source
from storage.readers.folder import FolderRows, open_source
from storage.readers.protocol import Entry, SourceMissing, Unreadable


def opened(root: Path, *roots: Path, **settings: object) -> FolderRows:
    return open_source(Source(root=root, **settings), roots)  # type: ignore[arg-type]


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def uris(rows: FolderRows) -> list[str]:
    return [entry.uri for entry in rows.entries()]


def problem_of(rows: FolderRows, uri: str) -> str:
    (entry,) = (entry for entry in rows.entries() if entry.uri == uri)
    assert entry.problem is not None
    return entry.problem


def test_files_are_found_at_all_depths_and_sorted_by_uri(tmp_path: Path) -> None:
    fill(tmp_path, "b.jpg", "a/z.png", "a/b/c.HEIC", "a.tif")
    assert uris(opened(tmp_path)) == ["a.tif", "a/b/c.HEIC", "a/z.png", "b.jpg"]


def test_a_file_without_an_image_suffix_is_left_to_its_first_bytes(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg", "b.txt", "c")
    assert [entry.is_sure for entry in opened(tmp_path).entries()] == [True, False, False]


def test_a_row_bears_the_stamp_of_its_file(tmp_path: Path) -> None:
    fill(tmp_path, "a/b.jpg")
    os.utime(tmp_path / "a/b.jpg", ns=(1, 1234567890))
    rows = opened(tmp_path)
    (entry,) = rows.entries()
    assert entry.stamp == (str(tmp_path / "a/b.jpg"), 7, 1234567890, "")
    assert rows.stamp("a/b.jpg") == entry.stamp


def test_reading_gives_the_bytes_or_the_first_of_them(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg")
    assert opened(tmp_path).read("a.jpg") == b"a.jpg"
    assert opened(tmp_path).read("a.jpg", first_bytes=2) == b"a."


def test_a_uri_that_leads_out_of_the_root_is_not_read(tmp_path: Path) -> None:
    fill(tmp_path, "inside/a.jpg", "b.jpg")
    with pytest.raises(Unreadable, match="outside the roots"):
        opened(tmp_path / "inside").read("../b.jpg")


def test_the_limit_takes_the_first_rows(tmp_path: Path) -> None:
    fill(tmp_path, "c.jpg", "a.jpg", "b.jpg")
    assert uris(opened(tmp_path, limit=2)) == ["a.jpg", "b.jpg"]


def test_folders_name_the_labels(tmp_path: Path) -> None:
    fill(tmp_path, "dog/x/1.jpg", "cat/2.jpg", "3.jpg")
    labels = [
        (e.uri, e.label, e.label_name) for e in opened(tmp_path, label_from="folder").entries()
    ]
    assert labels == [("3.jpg", -1, None), ("cat/2.jpg", 0, "cat"), ("dog/x/1.jpg", 1, "dog")]


def test_folders_name_the_splits_and_below_them_the_labels(tmp_path: Path) -> None:
    fill(tmp_path, "test/cat/1.jpg", "train/dog/2.jpg", "train/3.jpg", "4.jpg")
    rows = opened(tmp_path, split_from="folder", label_from="folder").entries()
    assert [(e.split, e.label_name) for e in rows] == [
        ("unspecified", None),
        ("test", "cat"),
        ("train", None),
        ("train", "dog"),
    ]


def test_names_that_are_no_utf8_or_hold_newlines_are_rows(tmp_path: Path) -> None:
    for name in (b"caf\xe9.jpg", b"two\nlines.jpg"):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(name)
    rows = opened(tmp_path)
    assert uris(rows) == ["caf%E9.jpg", "two%0Alines.jpg"]
    assert [rows.read(uri) for uri in uris(rows)] == [b"caf\xe9.jpg", b"two\nlines.jpg"]


def test_a_directory_named_like_an_image_is_a_failed_row_and_is_still_searched(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "a.jpg/b.png")
    rows = opened(tmp_path)
    assert uris(rows) == ["a.jpg", "a.jpg/b.png"]
    assert problem_of(rows, "a.jpg") == "not a file: a directory"


def test_a_fifo_named_like_an_image_is_a_failed_row(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert problem_of(opened(tmp_path), "a.jpg") == "not a file: a FIFO"


def test_a_fifo_of_another_name_is_skipped_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    rows = opened(tmp_path)
    assert list(rows.entries()) == []
    assert rows.skipped == ("pipe",)


def test_a_socket_named_like_an_image_is_a_failed_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("a.jpg")
        assert problem_of(opened(tmp_path), "a.jpg") == "not a file: a socket"


def test_camera_raw_is_refused_because_its_tiff_is_a_thumbnail(tmp_path: Path) -> None:
    fill(tmp_path, "a.NEF")
    assert problem_of(opened(tmp_path), "a.NEF").startswith("unsupported format: camera raw")


def test_a_link_out_of_the_root_is_a_failed_row(tmp_path: Path) -> None:
    fill(tmp_path, "root/b.jpg", "secret.jpg", "elsewhere/c.jpg")
    (tmp_path / "root/a.jpg").symlink_to(tmp_path / "secret.jpg")
    (tmp_path / "root/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/notes").symlink_to(tmp_path / "secret.jpg")
    rows = opened(tmp_path / "root")
    assert uris(rows) == ["a.jpg", "b.jpg", "more"]
    assert problem_of(rows, "a.jpg").startswith("outside the roots: ")
    assert problem_of(rows, "more").startswith("outside the roots: ")
    assert rows.skipped == ("notes",)
    with pytest.raises(Unreadable, match="outside the roots"):
        rows.read("a.jpg")


def test_a_link_to_a_configured_root_is_followed(tmp_path: Path) -> None:
    fill(tmp_path, "root/b.jpg", "elsewhere/c.jpg")
    (tmp_path / "root/more").symlink_to(tmp_path / "elsewhere")
    rows = opened(tmp_path / "root", tmp_path / "elsewhere")
    assert uris(rows) == ["b.jpg", "more/c.jpg"]
    assert rows.read("more/c.jpg") == b"elsewhere/c.jpg"


def test_loops_of_links_end_and_list_every_file_once(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a/to-b").symlink_to(tmp_path / "b")
    (tmp_path / "b/to-a").symlink_to(tmp_path / "a")
    (tmp_path / "self").symlink_to(tmp_path)
    (tmp_path / "c.jpg").symlink_to(tmp_path / "c.jpg")
    rows = opened(tmp_path)
    assert uris(rows) == ["a/1.jpg", "b/2.jpg", "c.jpg"]
    assert problem_of(rows, "c.jpg") == "unreadable: Too many levels of symbolic links"
    assert rows.skipped == ("a/to-b", "b/to-a", "self")


def test_a_link_to_nothing_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "nothing")
    assert problem_of(opened(tmp_path), "a.jpg") == "gone: there is no such file"


def test_a_forbidden_folder_is_a_failed_row(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o000)
    if os.access(tmp_path / "a", os.R_OK):
        pytest.skip("this user may read everything")
    assert problem_of(opened(tmp_path), "a") == "unreadable: Permission denied"


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"the folder .*/photos does not exist"):
        opened(tmp_path / "photos")


def test_an_empty_folder_has_no_rows(tmp_path: Path) -> None:
    assert list(opened(tmp_path).entries()) == []


def test_an_entry_says_unspecified_and_minus_one_by_itself() -> None:
    assert Entry("a.jpg") == ("a.jpg", "unspecified", -1, None, None, None, True)


def test_the_limit_counts_rows_and_not_the_files_beside_them(tmp_path: Path) -> None:
    fill(tmp_path, "1.txt", "2.txt", "3.png", "5.md", "6.png", "7.png", "8.txt")
    (tmp_path / "4").write_bytes(b"\x89PNG\r\n\x1a\n")  # an image, though its name says nothing
    rows = opened(tmp_path, limit=3)
    assert uris(rows) == ["3.png", "4", "6.png"]
    assert rows.skipped == ("1.txt", "2.txt", "5.md")
    rows = opened(tmp_path, limit=9)
    assert uris(rows) == ["3.png", "4", "6.png", "7.png"]
    assert rows.skipped == ("1.txt", "2.txt", "5.md", "8.txt")
