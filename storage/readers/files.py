"""Files that a source may read: inside its roots, regular, and named by a text that is valid."""

import errno
import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote_to_bytes

from conf.errors import nearest
from storage.readers.protocol import SourceMissing, Stamp, Unreadable

MAX_FILE_BYTES = 1 << 30  # 1 GiB: an image file is read whole
_UNSAFE = re.compile(rb"[%\x00-\x1f\x7f]")
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def uri_of(path: str) -> str:
    """Return the text that names a relative path: the path itself, almost always.

    Percent signs, control characters and bytes that are not UTF-8 are percent-encoded, so that a
    uri is valid text on one line and no two paths share one. What cannot be a path, because half
    a character is in it, is encoded too.
    """
    if path.isprintable() and "%" not in path:
        return path
    quoted = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], _encoded(path))
    text = quoted.decode("utf-8", "surrogateescape")
    return "".join(
        f"%{ord(letter) - 0xDC00:02X}" if "\udc80" <= letter <= "\udcff" else letter
        for letter in text
    )


def _encoded(path: str) -> bytes:
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:  # half a character, as JSON can spell it
        return path.encode("utf-8", "surrogatepass")


def path_of(uri: str) -> str:
    """Return the path that `uri` names; the inverse of `uri_of`."""
    return os.fsdecode(unquote_to_bytes(uri)) if "%" in uri else uri


class Fence:
    """The directories that files may lie in, symbolic links resolved."""

    def __init__(self, *roots: Path) -> None:
        self._inside = tuple(os.path.join(os.path.realpath(root), "") for root in roots)
        self._folders: dict[str, str] = {}

    def resolve(self, path: str) -> str:
        """Return the real path of `path`.

        Raises Unreadable when it lies outside, loops, or cannot be a path at all.
        """
        try:
            real = self._real(path)
        except ValueError as error:
            raise Unreadable(why_unreadable(error)) from error
        self._refuse_outside(real)
        return real

    def _real(self, path: str) -> str:
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        real = os.path.join(self._folders[folder], name)
        if name in ("", ".", "..") or os.path.islink(real):
            real = os.path.realpath(path)
        return real

    def _refuse_outside(self, real: str) -> None:
        if not os.path.join(real, "").startswith(self._inside):
            raise Unreadable(
                "outside the roots: the path leads out of the source's folder; add the directory "
                "that it leads to to FEATUREMILL_ROOTS to allow it"
            )


def stamp_file(path: str) -> Stamp:
    """Return the stamp of a regular file as it is now; raises Unreadable for anything else."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise Unreadable(why_unreadable(error)) from error
    refuse_irregular(status)
    return Stamp(path, status.st_size, status.st_mtime_ns)


def read_file(path: str, first_bytes: int | None = None) -> bytes:
    """Return the bytes of a regular file, or its first ones.

    Raises Unreadable for a file that is gone, forbidden, larger than MAX_FILE_BYTES or no file.
    """
    try:
        # O_NONBLOCK: opening a FIFO would otherwise wait for a writer, perhaps for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            refuse_irregular(os.fstat(descriptor), MAX_FILE_BYTES if first_bytes is None else None)
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                return file.read(-1 if first_bytes is None else first_bytes)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise Unreadable(why_unreadable(error)) from error


def refuse_irregular(status: os.stat_result, max_bytes: int | None = None) -> None:
    """Raise Unreadable unless `status` is that of a regular file of at most `max_bytes`."""
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise Unreadable(f"not a file: {kind}")
    if max_bytes is not None and status.st_size > max_bytes:
        raise Unreadable(
            f"too large: a file of {status.st_size / (1 << 30):.1f} GiB, "
            f"the limit is {max_bytes / (1 << 30):.0f} GiB"
        )


def why_unreadable(error: OSError | ValueError) -> str:
    """Return the reason for a row that the operating system would not give."""
    if not isinstance(error, OSError):
        return "not a path: the name cannot be that of a file"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "gone: there is no such file"
    return f"unreadable: {os.strerror(error.errno or errno.EIO)}"


def require(path: Path, what: str, *, is_folder: bool = False) -> Path:
    """Return the absolute path of a source that is there.

    Raises SourceMissing, which names the nearest neighbour of what is not.
    """
    path = Path(os.path.abspath(path.expanduser()))
    if path.is_dir() if is_folder else path.is_file():
        return path
    if path.exists():
        kind = "a file" if path.is_file() else "not a file"
        raise SourceMissing(f"the {what} {path} is {kind}. Correct the path and run again.")
    raise SourceMissing(f"the {what} {path} does not exist. {_nearest_neighbour(path)}")


def _nearest_neighbour(path: Path) -> str:
    there = next(parent for parent in path.parents if parent.is_dir())
    missing = path.relative_to(there).parts[0]
    close = nearest(missing, _names(there))
    hint = f" Did you mean {close!r}?" if close else ""
    return f"In {there} there is no {missing!r}.{hint} Correct the path and run again."


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []
