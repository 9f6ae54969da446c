"""Files that are whole or absent: write elsewhere, fsync, rename once, fsync the directory."""

import errno
import fcntl
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from storage.errors import NoSpace
from storage.steps import step

_WAIT_SECONDS = 0.1
"""Between two looks at a lock that another process holds."""
_one_line = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def fsync_file(path: Path) -> None:
    """Return when the bytes of `path` are on the disk."""
    with step("fsync-file", path):
        _fsync(path, os.O_RDONLY)


def fsync_directory(path: Path) -> None:
    """Return when the names in directory `path` are on the disk."""
    with step("fsync-directory", path):
        _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def rename(source: Path, target: Path) -> None:
    """Rename in one step and return when the new name is on the disk."""
    with step("rename", target):
        os.rename(source, target)
    fsync_directory(target.parent)


def make_directory(path: Path) -> None:
    """Make directory `path`, and those above it that are missing; return when they are on disk."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True)
    fsync_directory(path.parent)


def write_file(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: readers see the old bytes or all of the new ones, also after a
    crash."""
    temporary = temporary_beside(path)
    try:
        with step("write", path):
            temporary.write_bytes(data)
        fsync_file(temporary)
        rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Replace `path` by the JSON text of `content`, for people too, keys in the order given."""
    write_file(path, json_bytes(content))


def json_bytes(content: Any) -> bytes:
    """Return the JSON text that this store writes for `content`: members a line each, and those of
    its members."""
    return (_indented(content, levels=2) + "\n").encode()


def _indented(content: Any, levels: int, line: str = "\n") -> str:
    """Return the text of `content`, what lies deeper than `levels` on one line: given an indent,
    json writes letter by letter in Python, ten times as slowly, and a manifest has thousands of
    files."""
    if not (levels and content and isinstance(content, dict)):
        return _one_line(content)
    inner = line + " "
    members = [
        f"{_one_line(str(name))}: {_indented(value, levels - 1, inner)}"
        for name, value in content.items()
    ]
    return "{" + inner + f",{inner}".join(members) + line + "}"


def temporary_beside(path: Path) -> Path:
    """Return a name nobody has, in the same directory, that `is_temporary` recognises."""
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")


def is_temporary(path: Path) -> bool:
    """Whether `path` is the leftover of an interrupted write."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def link_or_copy(source: Path, target: Path) -> None:
    """Give the bytes of `source` the second name `target`; copy where hard links do not exist."""
    try:
        with step("link", target):
            os.link(source, target)
    except OSError as problem:
        if problem.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP}:
            raise
        with step("write", target):
            shutil.copyfile(source, target)
        fsync_file(target)


@contextmanager
def needing_space(path: Path) -> Iterator[None]:
    """Raise NoSpace, in words, when what is written below `path` meets a full disk or a quota."""
    try:
        yield
    except (OSError, RuntimeError, sqlite3.OperationalError) as problem:
        if not _is_full(problem):
            raise
        raise NoSpace(
            f"The disk, a quota or a limit on files ended the writing of {path} ({problem}). "
            "Free some space, or name another store with --store, and run again: what is sealed "
            "is kept."
        ) from problem


def _is_full(problem: Exception) -> bool:
    """Whether `problem` tells of a full disk: HDF5 gives the number only in its text."""
    if getattr(problem, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return True
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    texts = [os.strerror(number) for number in full]
    return getattr(problem, "errno", None) in full or any(text in str(problem) for text in texts)


@contextmanager
def exclusive(path: Path, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the flock of `path`, which the kernel frees when this process dies, however it dies.

    While another process holds it, `on_wait` is called again and again with what that one wrote of
    itself; an error that it raises ends the waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait_for(descriptor, on_wait)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} since {time.ctime()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the flock of `path` together with others who share it; waits for who has it alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, on_wait: Callable[[str], None] | None) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait:
                on_wait(os.pread(descriptor, 200, 0).decode(errors="replace") or "another process")
            time.sleep(_WAIT_SECONDS)
        else:
            return


def is_held(path: Path) -> bool:
    """Whether some process holds the flock of `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
