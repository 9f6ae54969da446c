"""Scanning: from what a source lists to the ledger, opening only what is new or changed."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, NamedTuple

from conf.machine import collector_paused
from storage.dataset.ledger import Ledger, LedgerRow
from storage.hashes import Hashes
from storage.readers.formats import (
    ARRAY_FORMAT,
    HEAD_BYTES,
    PROBE_VERSION,
    may_be_image,
    too_large,
)
from storage.readers.listing import Listing
from storage.readers.protocol import Entry, Rows, Stamp, Unreadable
from storage.remembered import Known, Remembered, Verdict

Progress = Callable[[int, int], None]
_CHECKPOINT_SECONDS = 0.5


class _Finding(NamedTuple):
    """What reading a row gave; `problem` is the world's doing and is never remembered."""

    sha256: str | None = None
    size_bytes: int | None = None
    verdict: Verdict | None = None
    is_new: bool = True
    problem: str | None = None
    stamp: Stamp | None = None
    read_at_ns: int = 0


def scan(
    rows: Rows,
    hashes: Hashes,
    *,
    threads: int,
    max_megapixels: float,
    on_progress: Progress | None = None,
) -> Ledger:
    """Return the ledger of `rows` as they are now.

    Files whose stamp is known are not opened. The others are hashed and checked by `threads`
    threads, each holding one file; what they find is kept at once, so a killed scan goes on where
    it was. `on_progress` is told (rows done, rows in all).
    """
    return _Scan(rows, hashes, max_megapixels, on_progress).ledger(threads)


class _Scan:
    def __init__(
        self, rows: Rows, hashes: Hashes, max_megapixels: float, on_progress: Progress | None
    ) -> None:
        self._rows = rows
        self._hashes = hashes
        self._max_megapixels = max_megapixels
        self._max_px = max_megapixels * 1e6
        self._on_progress = on_progress
        self._probe = probe_name(rows.formats)
        self._checkpointed_at = time.monotonic()

    def ledger(self, threads: int) -> Ledger:
        """Return the ledger: what is remembered, and the rest read by `threads` threads."""
        with collector_paused():
            entries = Listing.of(self._rows.entries())
            known = self._hashes.recall(entries.stamps, self._probe)
            others = self._others(entries, known)
        rows = self._rows_of(entries, known, others, threads)
        skipped = [entries.uri[at] for at, row in rows.items() if row is None]
        return _ledger(entries, known, rows, tuple(sorted([*self._rows.skipped, *skipped])))

    def _others(self, entries: Listing, known: Remembered) -> list[int]:
        """Return the places of all rows but those of images that are known to be whole, as nearly
        every row of nearly every scan is."""
        most = self._max_px
        facts = zip(*known.columns[2:], entries.problem, strict=True)
        return [
            at
            for at, (width_px, height_px, problem) in enumerate(facts)
            if problem is not None
            or width_px is None
            or height_px is None
            or width_px * height_px > most
        ]

    def _rows_of(
        self, entries: Listing, known: Remembered, places: Sequence[int], threads: int
    ) -> dict[int, LedgerRow | None]:
        """Return the rows at `places`, what is not remembered of them read; None: it is none."""
        remembered = {at: self._recalled(entries[at], known.row(at)) for at in places}
        rows = {at: finding and _row(entries[at], finding) for at, finding in remembered.items()}
        unknown = [at for at, finding in remembered.items() if finding is None]
        done, total = len(entries) - len(unknown), len(entries)
        self._tell(done, total)
        for at, finding in self._read_all(entries, unknown, threads):
            rows[at] = _row(entries[at], finding)
            self._tell(done := done + 1, total)
        return rows

    def _recalled(self, entry: Entry, found: Known | None) -> _Finding | None:
        """Return what is known of a row without opening it, None where that is not enough."""
        if entry.problem is not None:
            return _Finding(problem=entry.problem)
        if found is None:
            return None
        if found.sha256 is None:
            return None if entry.is_sure else _Finding()
        verdict = self._within_limit(found.verdict)
        return verdict and _Finding(found.sha256, found.size_bytes, verdict)

    def _read_all(
        self, entries: Sequence[Entry], places: Sequence[int], threads: int
    ) -> Iterator[tuple[int, _Finding]]:
        """Yield (place, finding) as they come; no more than twice `threads` wait at a time."""
        if not places:
            return
        todo = iter(places)
        running: dict[Future[_Finding], int] = {}
        pool = ThreadPoolExecutor(threads, thread_name_prefix="scan")
        try:
            while True:
                for at in islice(todo, 2 * threads - len(running)):
                    running[pool.submit(self._read, entries[at])] = at
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    finding = future.result()
                    self._keep(finding)
                    yield running.pop(future), finding
        finally:
            pool.shutdown(cancel_futures=True)
            self._hashes.checkpoint()

    def _read(self, entry: Entry) -> _Finding:
        """Return what one row holds. A file that changes meanwhile is read once more."""
        try:
            for _ in range(2):
                before = self._rows.stamp(entry.uri)
                read_at_ns = time.time_ns()
                finding = self._look(entry)
                if self._rows.stamp(entry.uri) == before:
                    return finding._replace(stamp=before, read_at_ns=read_at_ns)
        except Unreadable as error:
            return _Finding(problem=error.reason)
        return _Finding(problem="changing: it was written to while it was read, twice")

    def _look(self, entry: Entry) -> _Finding:
        if not entry.is_sure:
            head = self._rows.read(entry.uri, first_bytes=HEAD_BYTES)
            if not may_be_image(head):
                return _Finding()
        data = self._rows.read(entry.uri)
        sha256 = hashlib.sha256(data).hexdigest()
        verdict = self._within_limit(self._hashes.verdict(sha256, self._probe))
        if verdict:
            return _Finding(sha256, len(data), verdict, is_new=False)
        return _Finding(sha256, len(data), self._judge(data))

    def _judge(self, data: bytes) -> Verdict:
        from storage.readers.pixels import Undecodable, probe

        try:
            found = probe(data, max_megapixels=self._max_megapixels, formats=self._rows.formats)
        except Undecodable as error:
            width_px, height_px = error.size_px or (None, None)
            return Verdict(width_px, height_px, error.reason, is_checked=error.size_px is None)
        return Verdict(found.width_px, found.height_px, None)

    def _within_limit(self, verdict: Verdict | None) -> Verdict | None:
        """Return a remembered verdict under today's limit, None where only decoding can tell."""
        if verdict is None or verdict.width_px is None or verdict.height_px is None:
            return verdict
        reason = too_large(verdict.width_px, verdict.height_px, self._max_megapixels)
        if reason:
            return verdict._replace(problem=reason, is_checked=False)
        return verdict if verdict.is_checked else None

    def _keep(self, finding: _Finding) -> None:
        if finding.problem is not None:
            return
        if finding.sha256 and finding.verdict and finding.is_new:
            self._hashes.judge(finding.sha256, self._probe, finding.verdict)
        if finding.stamp:
            self._hashes.remember(
                finding.stamp, finding.sha256, finding.read_at_ns, finding.size_bytes
            )
        if time.monotonic() - self._checkpointed_at > _CHECKPOINT_SECONDS:
            self._hashes.checkpoint()
            self._checkpointed_at = time.monotonic()

    def _tell(self, done: int, total: int) -> None:
        if self._on_progress:
            self._on_progress(done, total)


def _ledger(
    entries: Listing,
    known: Remembered,
    rows: Mapping[int, LedgerRow | None],
    skipped: tuple[str, ...],
) -> Ledger:
    """Return the ledger of `entries`: `rows` where they stand, of all others what is `known`."""
    count = len(entries)
    sha256, *sizes = known.columns
    names = (entries.split, entries.label, entries.label_name)
    states = (("ok",) * count, (None,) * count)
    columns: list[Sequence[Any]] = [entries.uri, sha256, *names, *states, *sizes]
    if rows:
        columns = [tuple(_patched(one, place, rows)) for place, one in enumerate(columns)]
    named = dict(zip(LedgerRow._fields, map(tuple, columns), strict=True))
    return Ledger(**named, skipped=skipped)


def _patched(
    column: Sequence[Any], place: int, rows: Mapping[int, LedgerRow | None]
) -> Iterator[Any]:
    """Yield the values of a column, those of `rows` as they have them at `place`."""
    for at, value in enumerate(column):
        if at not in rows:
            yield value
        elif row := rows[at]:
            yield row[place]


def _row(entry: Entry, finding: _Finding) -> LedgerRow | None:
    """Return the row of the ledger, None for a file that is no image and need not be one."""
    if finding.sha256 is None and finding.problem is None:
        return None
    verdict = finding.verdict or Verdict(None, None, finding.problem)
    is_ok = verdict.problem is None
    return LedgerRow(
        entry.uri,
        finding.sha256,
        entry.split,
        entry.label,
        entry.label_name,
        "ok" if is_ok else "failed",
        verdict.problem,
        finding.size_bytes,
        verdict.width_px if is_ok else None,
        verdict.height_px if is_ok else None,
    )


def probe_name(formats: frozenset[str]) -> str:
    """Return the name of the check that bytes of these formats go through."""
    return f"{'arrays' if ARRAY_FORMAT in formats else 'images'} {PROBE_VERSION}"
