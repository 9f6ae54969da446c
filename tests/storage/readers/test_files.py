import os
import socket
from pathlib import Path

import pytest

from storage.readers import files
from storage.readers.files import Fence, path_of, read_file, require, stamp_file, uri_of
from storage.readers.protocol import SourceMissing, Unreadable

NAMES = [
    b"a/b.jpg",
    "bl\u00fcte \u2603.jpg".encode(),
    "no\u00a0break.jpg".encode(),
    b"100%.jpg",
    b"100%25.jpg",
    b"two\nlines.jpg",
    b"caf\xe9.jpg",
    b"\xff\xfe%41.jpg",
]


def reason_of(path: Path) -> str:
    with pytest.raises(Unreadable) as caught:
        read_file(str(path))
    return caught.value.reason


@pytest.mark.parametrize("name", NAMES)
def test_a_uri_is_valid_text_on_one_line_and_leads_back(name: bytes) -> None:
    uri = uri_of(os.fsdecode(name))
    assert "\n" not in uri
    assert uri.encode().decode() == uri
    assert os.fsencode(path_of(uri)) == name


def test_no_two_names_share_a_uri() -> None:
    assert len({uri_of(os.fsdecode(name)) for name in NAMES}) == len(NAMES)


def test_an_ordinary_name_is_its_own_uri() -> None:
    assert uri_of("photos/Z\u00fcrich 1.jpg") == "photos/Z\u00fcrich 1.jpg"


def test_bytes_that_are_no_utf8_are_percent_encoded() -> None:
    assert uri_of(os.fsdecode(b"caf\xe9\n.jpg")) == "caf%E9%0A.jpg"


def test_a_missing_file_is_gone(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "a.jpg") == "gone: there is no such file"


def test_a_name_that_no_file_can_bear_is_not_a_path() -> None:
    with pytest.raises(Unreadable, match="not a path"):
        read_file("a\0.jpg")


def test_a_directory_is_not_a_file_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    assert reason_of(tmp_path) == "not a file: a directory"
    assert len(os.listdir("/dev/fd")) == before


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert reason_of(tmp_path / "a.jpg") == "not a file: a FIFO"


def test_a_socket_is_not_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("a.jpg")
        with pytest.raises(Unreadable, match="not a file: a socket"):
            stamp_file(str(tmp_path / "a.jpg"))


def test_a_forbidden_file_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch(mode=0o000)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert reason_of(path) == "unreadable: Permission denied"


def test_what_the_system_says_is_the_reason() -> None:
    assert files.why_unreadable(PermissionError(13, "no")) == "unreadable: Permission denied"


def test_a_file_beyond_the_limit_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)
    assert reason_of(path) == "too large: a file of 1.0 GiB, the limit is 1 GiB"
    assert read_file(str(path), 4) == bytes(4)


def test_a_path_inside_a_root_resolves_to_itself(tmp_path: Path) -> None:
    assert Fence(tmp_path).resolve(str(tmp_path / "a/b.jpg")) == str(tmp_path / "a/b.jpg")


@pytest.mark.parametrize("outside", ["../x.jpg", "../inside-too/x.jpg", "a/../../x.jpg", ".."])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, outside: str) -> None:
    root = tmp_path / "inside"
    root.mkdir()
    with pytest.raises(Unreadable, match=r"^outside the roots: .*FEATUREMILL_ROOTS"):
        Fence(root).resolve(str(root / outside))


def test_a_link_may_lead_to_another_root(tmp_path: Path) -> None:
    for name in ("inside", "other", "third"):
        (tmp_path / name).mkdir()
    link = tmp_path / "inside" / "link"
    link.symlink_to(tmp_path / "other" / "a.jpg")
    with pytest.raises(Unreadable):
        Fence(tmp_path / "inside", tmp_path / "third").resolve(str(link))
    allowed = Fence(tmp_path / "inside", tmp_path / "other")
    assert allowed.resolve(str(link)) == str(tmp_path / "other" / "a.jpg")


def test_a_missing_source_names_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(SourceMissing) as caught:
        require(tmp_path / "photo" / "x", "folder", is_folder=True)
    assert str(caught.value) == (
        f"the folder {tmp_path}/photo/x does not exist. In {tmp_path} there is no 'photo'. "
        "Did you mean 'photos'? Correct the path and run again."
    )


def test_a_source_of_the_wrong_sort_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing) as caught:
        require(tmp_path, "archive")
    assert str(caught.value) == (
        f"the archive {tmp_path} is not a file. Correct the path and run again."
    )
    (tmp_path / "a").touch()
    with pytest.raises(SourceMissing, match=r"the folder .* is a file"):
        require(tmp_path / "a", "folder", is_folder=True)


@pytest.mark.parametrize("name", ["\ud800.jpg", "\udc80\ud800\n%"])
def test_even_what_no_file_can_be_named_has_a_uri_of_valid_text(name: str) -> None:
    assert uri_of(name).encode().isascii()
    assert uri_of(name).isprintable()


@pytest.mark.parametrize("name", ["a\0b/c.jpg", "a/\ud800/b.jpg"])
def test_what_no_file_can_be_named_is_not_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unreadable, match=r"^not a path: "):
        Fence(tmp_path).resolve(str(tmp_path / name))
