"""Images in a folder and below: what is a row is decided by content, what is listed by the tree."""

import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from conf.sources.folder import Source
from storage.readers.files import (
    Fence,
    path_of,
    read_file,
    refuse_irregular,
    require,
    stamp_file,
    uri_of,
    why_unreadable,
)
from storage.readers.formats import HEAD_BYTES, IMAGE_FORMATS, may_be_image
from storage.readers.listing import Listing, Stamps
from storage.readers.protocol import Entry, Stamp, Unreadable, numbered

# fmt: off
_IMAGE_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".dib",
    ".heic", ".heif", ".hif", ".gif", ".avif", ".jp2", ".j2k", ".jxl",
))
_RAW_SUFFIXES = frozenset((
    ".3fr", ".arw", ".cr2", ".dng", ".erf", ".nef", ".nrw", ".orf", ".pef", ".raw", ".rw2", ".srw",
))
# fmt: on
_RAW = "unsupported format: camera raw; such a file holds a TIFF, but that is its thumbnail"


def open_source(spec: Source, roots: tuple[Path, ...]) -> "FolderRows":
    """Return the images below `spec.root`; raises SourceMissing when it is no folder."""
    return FolderRows(spec, require(spec.root, "folder", is_folder=True), roots)


class FolderRows:
    """The images of a folder. A file with an image's suffix is always a row, whatever it holds."""

    formats = IMAGE_FORMATS

    def __init__(self, spec: Source, root: Path, roots: tuple[Path, ...]) -> None:
        self._spec = spec
        self._root = str(root)
        self._fence = Fence(root, *roots)
        self.skipped: tuple[str, ...] = ()

    def entries(self) -> Listing:
        """Return the images, sorted by uri. A second call looks again.

        Symbolic links are followed as far as the roots reach, every folder is walked once. No file
        is opened, but where a limit counts rows: then those are that may be none.
        """
        walk = _Walk(self._root, self._fence)
        entries = _placed(walk.listing(), self._spec)
        if self._spec.limit is not None:
            entries = Listing.of(self._first_rows(entries, self._spec.limit, walk.skipped))
        self.skipped = tuple(sorted(walk.skipped))
        return entries

    def stamp(self, uri: str) -> Stamp:
        """Return the stamp of a file as it is now; raises Unreadable."""
        path = self._path(uri)
        self._fence.resolve(path)
        return stamp_file(path)

    def read(self, uri: str, *, first_bytes: int | None = None) -> bytes:
        """Return the bytes of a file; raises Unreadable."""
        return read_file(self._fence.resolve(self._path(uri)), first_bytes)

    def _first_rows(self, entries: Sequence[Entry], limit: int, skipped: list[str]) -> list[Entry]:
        """Return the first `limit` rows; files passed over, which are none, join `skipped`."""
        rows: list[Entry] = []
        for entry in entries:
            if len(rows) == limit:
                break
            if self._is_row(entry):
                rows.append(entry)
            else:
                skipped.append(entry.uri)
        return rows

    def _is_row(self, entry: Entry) -> bool:
        if entry.is_sure or entry.problem is not None:
            return True
        try:
            return may_be_image(self.read(entry.uri, first_bytes=HEAD_BYTES))
        except Unreadable:
            return True  # the scan says why

    def _path(self, uri: str) -> str:
        return os.path.join(self._root, path_of(uri))


class _Walk:
    """One look at a tree: what it lists, and what was left out in `skipped`."""

    def __init__(self, root: str, fence: Fence) -> None:
        self._files: list[tuple[str, int, int]] = []
        """Of every regular file: path, size in bytes, mtime in ns."""
        self._failed: list[tuple[str, str]] = []
        """Of every row that cannot be read: its path, and why."""
        self.skipped: list[str] = []
        self._root_length = len(os.path.join(root, ""))
        self._fence = fence
        self._walked: set[str] = set()
        self._linked: list[str] = []
        self._below(root)
        # Folders that only a link leads to come last, in order: where two lead, the first counts.
        while self._linked:
            link, *self._linked = sorted(self._linked)
            if os.path.realpath(link) in self._walked:
                self._skip(link)
            else:
                self._below(link)

    def listing(self) -> Listing:
        """Return the rows, sorted by uri; none has a split or a label yet."""
        start = self._root_length
        uris = _uris([path[start:] for path, *_ in self._files])
        rows: list[tuple[str, str, int, int, str | None]]
        rows = [(uri, *file, None) for uri, file in zip(uris, self._files, strict=True)]
        rows += [(self._uri(path), "", 0, 0, reason) for path, reason in self._failed]
        rows.sort()
        uri, path, size_bytes, mtime_ns, problem = zip(*rows, strict=True) if rows else [()] * 5
        suffixes = [uri[uri.rfind(".") :] for uri in uri]
        told = {suffix: _by_suffix(suffix) for suffix in set(suffixes)}
        count = len(rows)
        return Listing(
            uri,
            ("unspecified",) * count,
            (-1,) * count,
            (None,) * count,
            Stamps(path, size_bytes, mtime_ns, ("",) * count),
            [why or told[suffix][0] for why, suffix in zip(problem, suffixes, strict=True)],
            [told[suffix][1] for suffix in suffixes],
        )

    def _below(self, folder: str) -> None:
        folders = [folder]
        while folders:
            folder = folders.pop()
            real = os.path.realpath(folder)
            if real in self._walked:
                continue
            self._walked.add(real)
            try:
                with os.scandir(folder) as items:
                    for item in items:
                        if item.is_file(follow_symlinks=False):
                            self._file(item)
                        else:
                            self._look(item, folders)
            except OSError as error:
                self._fail(folder, why_unreadable(error))

    def _look(self, item: os.DirEntry[str], folders: list[str]) -> None:
        if item.is_symlink():
            self._follow(item)
        elif item.is_dir(follow_symlinks=False):
            folders.append(item.path)
            if _suffix(item.name) in _IMAGE_SUFFIXES:
                self._fail(item.path, "not a file: a directory")
        else:
            self._file(item)

    def _follow(self, link: os.DirEntry[str]) -> None:
        """Follow a link inside the roots; one that leads out of them is a row that failed."""
        try:
            self._fence.resolve(link.path)
            is_folder = link.is_dir()
        except (Unreadable, OSError) as error:
            self._leave(link, error, is_row=os.path.isdir(link.path))
            return
        if is_folder:
            self._linked.append(link.path)
        else:
            self._file(link)

    def _file(self, item: os.DirEntry[str]) -> None:
        try:
            status = item.stat()
            if not stat.S_ISREG(status.st_mode):
                refuse_irregular(status)
        except (Unreadable, OSError) as error:
            self._leave(item, error)
            return
        self._files.append((item.path, status.st_size, status.st_mtime_ns))

    def _leave(
        self, item: os.DirEntry[str], error: Unreadable | OSError, *, is_row: bool = False
    ) -> None:
        """Make what cannot be read a row that failed, if its name or `is_row` says it is one."""
        if is_row or _suffix(item.name) in _IMAGE_SUFFIXES:
            reason = error.reason if isinstance(error, Unreadable) else why_unreadable(error)
            self._fail(item.path, reason)
        else:
            self._skip(item.path)

    def _fail(self, path: str, reason: str) -> None:
        self._failed.append((path, reason))

    def _skip(self, path: str) -> None:
        self.skipped.append(self._uri(path))

    def _uri(self, path: str) -> str:
        return uri_of(path[self._root_length :] or ".")


def _by_suffix(suffix: str) -> tuple[str | None, bool]:
    """Return what is wrong with a file whose name ends so, and whether it says it is an image."""
    suffix = suffix.lower()
    is_raw = suffix in _RAW_SUFFIXES
    return _RAW if is_raw else None, is_raw or suffix in _IMAGE_SUFFIXES


def _uris(paths: list[str]) -> list[str]:
    """Return the uri of every path: looked at all together, for hardly one is not its own uri."""
    text = "".join(paths)
    return paths if text.isprintable() and "%" not in text else list(map(uri_of, paths))


def _suffix(name: str) -> str:
    _, dot, suffix = name.rpartition(".")
    return dot + suffix.lower()


def _placed(entries: Listing, spec: Source) -> Listing:
    """Return `entries` with the split and the label that their folders name."""
    if not spec.split_from and not spec.label_from:
        return entries
    at = 1 if spec.split_from else 0
    folders = [uri.split("/")[:-1] for uri in entries.uri]
    splits = [(names[0] if names else "unspecified") if at else "unspecified" for names in folders]
    named = [names[at] if spec.label_from and len(names) > at else None for names in folders]
    labels = numbered(named)
    return replace(
        entries,
        split=splits,
        label=[label for label, _ in labels],
        label_name=[name for _, name in labels],
    )
