import errno
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage.atomic import (
    exclusive,
    is_held,
    is_temporary,
    json_bytes,
    link_or_copy,
    make_directory,
    needing_space,
    temporary_beside,
    write_file,
)
from storage.errors import NoSpace
from storage.steps import Moment, Operation, observed_by


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_file(tmp_path / "card", b"old")
    write_file(tmp_path / "card", b"new")
    assert (tmp_path / "card").read_bytes() == b"new"
    assert len([*tmp_path.iterdir()]) == 1


@pytest.mark.parametrize("fails_at", ["write", "fsync-file", "rename"])
def test_a_write_that_fails_leaves_the_old_bytes_and_no_leftover(
    tmp_path: Path, fails_at: Operation
) -> None:
    write_file(tmp_path / "card", b"old")

    def fail(moment: Moment, operation: Operation, path: Path) -> None:
        if (moment, operation) == ("before", fails_at):
            raise OSError(errno.EIO, "the disk says no")

    with observed_by(fail), pytest.raises(OSError, match="the disk says no"):
        write_file(tmp_path / "card", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_temporary_name_is_recognised_and_no_other_is() -> None:
    assert is_temporary(temporary_beside(Path("parts/one.json")))
    assert not any(map(is_temporary, (Path("one.json"), Path(".hidden"), Path("one.tmp"))))


def test_two_temporary_names_differ() -> None:
    assert temporary_beside(Path("a")) != temporary_beside(Path("a"))


def test_json_refuses_numbers_that_json_has_not() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_bytes({"seconds": float("nan")})


def test_json_has_a_record_a_line_and_says_what_json_says() -> None:
    files = {"a.jpg": {"size_bytes": 1, "blake3": "é\n"}, "b": {}}
    content = {"key": "x", "rows": ["r", "s"], "files": files, "none": {}, "deep": {"a": {"b": {}}}}
    text = json_bytes(content).decode()
    assert json.loads(text) == content
    assert ' "rows": ["r", "s"],\n' in text
    assert '\n  "a.jpg": {"size_bytes": 1, "blake3": "é\\n"},\n' in text


def test_a_link_is_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").samefile(tmp_path / "b")


def test_a_link_that_fails_for_another_reason_is_not_hidden_by_a_copy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        link_or_copy(tmp_path / "absent", tmp_path / "b")


def test_missing_directories_above_are_made_too(tmp_path: Path) -> None:
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_lock_is_held_until_it_is_left(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "key"
    assert not is_held(lock)
    with exclusive(lock):
        assert is_held(lock)
    assert not is_held(lock)


def test_a_lock_outlives_nobody_who_held_it(tmp_path: Path) -> None:
    lock = tmp_path / "key"
    held, done = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            with exclusive(lock):
                os.write(done, b"x")
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    os.read(held, 1)
    os.waitpid(process, 0)
    os.close(held)
    os.close(done)
    assert not is_held(lock)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_in_words(number: int) -> None:
    with pytest.raises(NoSpace, match="what is sealed is kept"), needing_space(Path("parts")):
        raise OSError(number, os.strerror(number))


def test_what_hdf5_says_of_a_full_disk_is_understood() -> None:
    said = (
        "Unable to close (file write failed: errno = 28, error message = 'No space left on device')"
    )
    with pytest.raises(NoSpace, match="Free some space"), needing_space(Path("parts")):
        raise RuntimeError(said)


def test_other_trouble_is_not_called_a_full_disk() -> None:
    with pytest.raises(PermissionError), needing_space(Path("parts")):
        raise PermissionError(errno.EACCES, "no")


def test_a_database_that_cannot_grow_is_a_full_disk(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        database.execute("CREATE TABLE a (b)")
        database.execute("PRAGMA max_page_count = 2")
        with pytest.raises(NoSpace, match=r"is full\)\. Free some space"), needing_space(tmp_path):
            database.execute("INSERT INTO a VALUES (zeroblob(99999))")
        with (
            pytest.raises(sqlite3.OperationalError, match="no such table"),
            needing_space(tmp_path),
        ):
            database.execute("SELECT * FROM none")
