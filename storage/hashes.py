"""What was found out about files and contents, so that an unchanged one is not opened again.

A file is known by (path, size, mtime), a content by its sha256. To lose this costs time only.
"""

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from conf.errors import WorldError
from conf.machine import package_version
from storage.atomic import needing_space
from storage.readers.listing import Stamps
from storage.readers.protocol import Stamp
from storage.remembered import Block, Known, Remembered, Verdict, folder_of, place_of, places_of

_FORMAT = 1
_SCHEMA = """
CREATE TABLE files (
    place BLOB PRIMARY KEY, size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    sha256 TEXT, content_bytes INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE verdicts (
    sha256 TEXT NOT NULL, probe TEXT NOT NULL, libraries TEXT NOT NULL,
    width_px INTEGER, height_px INTEGER, problem TEXT, is_checked INTEGER NOT NULL,
    PRIMARY KEY (sha256, probe)
) STRICT, WITHOUT ROWID;
"""
_LISTINGS = """
CREATE TABLE IF NOT EXISTS listings (
    folder BLOB NOT NULL, probe TEXT NOT NULL, at_ns INTEGER NOT NULL,
    places BLOB NOT NULL, numbers BLOB NOT NULL, shas BLOB NOT NULL, PRIMARY KEY (folder, probe)
) STRICT
"""
BLOCK_ROWS = 1_000
"""From so many files on a listing is kept as a block, too: fewer are fetched at once anyway."""
_BLOCKS = 16
# A failure is believed of the same libraries only: a newer one may read what this one could not.
_VERDICT = "v.probe = ? AND (v.problem IS NULL OR v.libraries = ?)"
_FILES = "SELECT place, size_bytes, mtime_ns, sha256, content_bytes FROM files"
_FILE = f"{_FILES} WHERE place = ?"
_WITHIN = "place BETWEEN ? AND ?"
_VERDICTS = "SELECT sha256, width_px, height_px, problem, is_checked FROM verdicts v"
_VERDICT_ON = f"{_VERDICTS} WHERE v.sha256 = ? AND {_VERDICT}"
_FEW = 1_000
"""So many rows are asked for one by one, wherever they lie."""
_Row = tuple[Any, ...]
_NO_VERDICT: _Row = (None,) * 4
_CACHE_KIB = 1 << 16  # verdicts are asked for all over the file: SQLite's 2 MiB would hold few
_SECOND_NS = 1_000_000_000
_COARSE_NS = 2 * _SECOND_NS  # FAT counts in steps of two seconds, HFS+ and some servers of one
_MOST_NS = (1 << 63) - 1
_FINE_NS = 50_000_000  # Linux stamps files by its timer's last tick, at most 10 ms ago


class HashesUnusable(WorldError):
    """The database of remembered hashes cannot be used."""


def is_settled(mtime_ns: int, read_at_ns: int) -> bool:
    """Whether a file whose reading began at `read_at_ns` cannot change without a new `mtime_ns`.

    A write within the same tick of the file system's clock as the last one leaves no trace, so a
    file read as soon as it was written is not known by its stamp. Nor is one of a year that no
    64 bits of nanoseconds reach, after 2262: a camera's clock may be that wrong.
    """
    if not -_MOST_NS <= mtime_ns <= _MOST_NS:
        return False
    tick_ns = _COARSE_NS if mtime_ns % _SECOND_NS == 0 else _FINE_NS
    return abs(read_at_ns - mtime_ns) >= tick_ns


def decoder_libraries() -> str:
    """Return the versions of what decodes images, without importing it."""
    names = ("pillow", "pillow-heif")
    return " ".join(f"{name} {package_version(name) or 'missing'}" for name in names)


class Hashes:
    """The database at `path`, created when it is not there. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._libraries = decoder_libraries()
        self._new_files: dict[bytes, tuple[int, int, str | None, int | None]] = {}
        self._new_verdicts: dict[tuple[str, str], Verdict] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._is_writable = os.access(path.parent, os.W_OK)
        with self._explained():
            self._database = self._opened(path)
            self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._prepare()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is not written yet, and close the database."""
        self.checkpoint()
        with self._lock:
            self._database.close()

    def recall(self, stamps: Stamps, probe: str) -> Remembered:
        """Return what is known of the file of each stamp, nothing where it bears another by now.

        `probe` names the version of the decoder's check. A few queries, however many files.
        """
        self.checkpoint()
        places = places_of(stamps)
        named = [place for place in places if place]
        if not named:
            return Block(b"", b"", b"").recall(places, stamps)
        with self._explained(), self._lock:
            folder = folder_of(named)
            found = self._block(folder, probe).recall(places, stamps)
            told = self._told(places, stamps, found, probe)
            for at, known in told.items():
                found.add(at, known)
            if len(places) >= BLOCK_ROWS and any(known.is_whole for known in told.values()):
                self._keep_block(folder, probe, Block.of(places, stamps, found))
        return found

    def _told(
        self, places: Sequence[bytes], stamps: Stamps, found: Remembered, probe: str
    ) -> dict[int, Known]:
        """Return what the tables tell of the files that are not among `found`, by their places."""
        missing = [at for at, sha256 in enumerate(found.sha256) if sha256 is None and places[at]]
        files, verdicts = self._files_and_verdicts([places[at] for at in missing], probe)
        told = {}
        for at in missing:
            row = files.get(places[at])
            if row and row[1:3] == (stamps.size_bytes[at], stamps.mtime_ns[at]):
                told[at] = Known(row[3], row[4], *verdicts.get(row[3], _NO_VERDICT))
        return told

    def _files_and_verdicts(
        self, places: Sequence[bytes], probe: str
    ) -> tuple[dict[bytes, _Row], dict[str | None, _Row]]:
        """Return rows of the tables: at least those of `places`, by these and by sha256."""
        if len(places) <= _FEW:
            found = (self._database.execute(_FILE, (place,)).fetchone() for place in places)
            rows = [row for row in found if row]
            asked = ((row[3], probe, self._libraries) for row in rows)
            verdicts = (self._database.execute(_VERDICT_ON, one).fetchone() for one in asked)
            return {row[0]: row for row in rows}, {row[0]: row[1:] for row in verdicts if row}
        # Neighbours in a folder are neighbours here: reading on beats asking for each.
        span = min(places), max(places)
        files = self._database.execute(f"{_FILES} WHERE {_WITHIN}", span).fetchall()
        return {row[0]: row for row in files}, self._verdicts_within(span, len(files), probe)

    def _verdicts_within(
        self, span: tuple[bytes, bytes], files: int, probe: str
    ) -> dict[str | None, _Row]:
        """Return what decoding the contents of the files within `span` came to, by sha256.

        Contents lie all over their table. Where the files are most of it, all is read: a third of
        the time.
        """
        query = f"{_VERDICTS} WHERE {_VERDICT}"
        given: _Row = (probe, self._libraries)
        few = "SELECT count(*) FROM (SELECT 1 FROM verdicts LIMIT ?)"
        (others,) = self._database.execute(few, (2 * files + 1,)).fetchone()
        if others > 2 * files:
            query += f" AND sha256 IN (SELECT sha256 FROM files WHERE {_WITHIN})"
            given += span
        return {row[0]: row[1:] for row in self._database.execute(query, given)}

    def _block(self, folder: bytes, probe: str) -> Block:
        """Return the block of the listing of `folder`, an empty one where there is none."""
        query = "SELECT places, numbers, shas FROM listings WHERE (folder, probe) = (?, ?)"
        with suppress(sqlite3.OperationalError):  # an older database: no block was kept yet
            for row in self._database.execute(query, (folder, probe)):
                if (block := Block._make(row)).is_sound:
                    return block
        return Block(b"", b"", b"")

    def _keep_block(self, folder: bytes, probe: str, block: Block) -> None:
        """Write the block of a listing; of those that nobody asks for any more the oldest go.

        It saves time only: on a full disk, or beside somebody who writes for long, it is left.
        """
        if not self._is_writable:
            return
        with suppress(sqlite3.OperationalError), self._database:
            self._database.execute(_LISTINGS)
            self._database.execute(
                "INSERT OR REPLACE INTO listings VALUES (?, ?, ?, ?, ?, ?)",
                (folder, probe, time.time_ns(), *block),
            )
            self._database.execute(
                "DELETE FROM listings WHERE at_ns NOT IN "
                "(SELECT at_ns FROM listings ORDER BY at_ns DESC LIMIT ?)",
                (_BLOCKS,),
            )

    def remember(
        self, stamp: Stamp, sha256: str | None, read_at_ns: int, size_bytes: int | None = None
    ) -> None:
        """Keep the sha256 of a file or a row of it (None: no image), and the content's size.

        Nothing is kept of a file that was read too soon after it was written.
        """
        if is_settled(stamp.mtime_ns, read_at_ns):
            row = (stamp.size_bytes, stamp.mtime_ns, sha256, size_bytes)
            with self._lock:
                self._new_files[place_of(stamp)] = row

    def verdict(self, sha256: str, probe: str) -> Verdict | None:
        """Return what decoding came to, None where that is not known."""
        with self._explained(), self._lock:
            if new := self._new_verdicts.get((sha256, probe)):
                return new
            asked = (sha256, probe, self._libraries)
            row = self._database.execute(_VERDICT_ON, asked).fetchone()
        return Verdict._make(row[1:]) if row else None

    def judge(self, sha256: str, probe: str, verdict: Verdict) -> None:
        """Keep what decoding came to."""
        with self._lock:
            self._new_verdicts[sha256, probe] = verdict

    def checkpoint(self) -> None:
        """Write what is new, so that it survives a kill.

        Written at once rather than row by row, so that another process never waits long. On a
        read-only disk it is kept while this is open: what lies there can still be planned with.
        """
        if not self._is_writable:
            return
        with self._explained(), self._lock, self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                [(place, *row) for place, row in self._new_files.items()],
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(*key, self._libraries, *row) for key, row in self._new_verdicts.items()],
            )
            self._new_files.clear()
            self._new_verdicts.clear()

    def sha256_of_file(self, path: Path) -> str:
        """Return the sha256 of a file of any size, hashed only when its stamp is new."""
        self.checkpoint()
        stamp = _stamp(path)
        with self._explained(), self._lock:
            row = self._database.execute(_FILE, (place_of(stamp),)).fetchone()
        if row and row[3] and row[1:3] == (stamp.size_bytes, stamp.mtime_ns):
            return str(row[3])
        read_at_ns = time.time_ns()
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if _stamp(path) == stamp:
            self.remember(stamp, sha256, read_at_ns, stamp.size_bytes)
            self.checkpoint()
        return sha256

    def _opened(self, path: Path) -> sqlite3.Connection:
        """Return the database, in memory where none is on a read-only disk."""
        place = path if self._is_writable or path.is_file() else ":memory:"
        return sqlite3.connect(place, timeout=60, check_same_thread=False)

    def _prepare(self) -> None:
        (found,) = self._database.execute("PRAGMA user_version").fetchone()
        if found == 0:
            # Another process may be at it: whoever is second finds the tables and is content.
            schema = _SCHEMA.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
            self._database.executescript(
                f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {_FORMAT}; COMMIT;"
            )
        elif found != _FORMAT:
            raise HashesUnusable(
                f"{self._path} has format {found}, this version reads {_FORMAT}. Update "
                "featuremill, or delete the file: all contents are then hashed again."
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            with needing_space(self._path):
                yield
        except sqlite3.Error as error:
            raise HashesUnusable(
                f"{self._path}, which remembers the hashes of files, cannot be used: {error}. If "
                "it is damaged, delete it: all contents are then hashed again."
            ) from error


def _stamp(path: Path) -> Stamp:
    path = Path(os.path.realpath(path))
    status = path.stat()
    return Stamp(str(path), status.st_size, status.st_mtime_ns)
