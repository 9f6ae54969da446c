"""Runs: what was asked of a store, when, and what came of it; one small file each.

A run that was killed leaves its record without an end, and no lock: so it can be told from one that
is still at work, and be gone on with.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

from storage.atomic import is_held, make_directory, shared, write_json

RUN_FORMAT = 1

Outcome = Literal["completed", "at work", "interrupted"]


@dataclass(frozen=True)
class RunRecord:
    """What is known of one run."""

    id: str
    name: str
    """The first word of the names of its artifacts: the preset's or the flow's."""
    flow: str
    """The stem of the flow; empty for one that presets cannot name."""
    settings: Mapping[str, Any]
    """What the flow was given, as JSON: an instance of the Preset of `conf/<flow>.py`."""
    runtime: Mapping[str, Any]
    began: float
    """Seconds since 1970."""
    ended: float | None = None
    artifacts: Sequence[Mapping[str, Any]] = ()
    """Name, key, state, rows, rows_made and seconds of each artifact, in the order of making."""

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the record at `path`, or None where there is none that this version can read."""
        with suppress(FileNotFoundError, ValueError, TypeError, AttributeError):
            content = json.loads(path.read_bytes())
            if content.pop("format") == RUN_FORMAT:
                return cls(**content)
        return None


class Runs:
    """The runs of a store, in `<store>/runs/`."""

    def __init__(self, store: Path) -> None:
        self.root = store / "runs"
        self._locks = store / "locks"

    @property
    def everyone(self) -> Path:
        """The file whose flock every run shares: who has it alone knows that no run is at work."""
        return self._locks / "runs"

    @contextmanager
    def recording(
        self, name: str, flow: str, settings: Mapping[str, Any], runtime: Mapping[str, Any]
    ) -> Iterator[RunRecord]:
        """Yield the record of a run that begins now, and hold its locks meanwhile."""
        began = time.time()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(began)) + f"{began % 1:.6f}"[1:]
        record = RunRecord(f"{stamp}-{uuid4().hex[:8]}", name, flow, settings, runtime, began)
        make_directory(self.root)
        with shared(self.everyone), shared(self._lock_of(record)):
            self._write(record)
            try:
                yield record
            finally:
                self._lock_of(record).unlink(missing_ok=True)

    def end(self, record: RunRecord, artifacts: Sequence[Mapping[str, Any]]) -> None:
        """Take down that a run has done all that was asked, and what it made and reused."""
        self._write(replace(record, ended=time.time(), artifacts=tuple(artifacts)))

    def all(self) -> list[RunRecord]:
        """Return every record, newest first."""
        paths = sorted(self.root.glob("*.json"), reverse=True)
        return [record for path in paths if (record := RunRecord.read(path))]

    def outcome(self, record: RunRecord) -> Outcome:
        """Return what became of a run; "interrupted" is one that neither ended nor lives."""
        if record.ended is not None:
            return "completed"
        return "at work" if is_held(self._lock_of(record)) else "interrupted"

    def maker_of(self, key: str) -> RunRecord | None:
        """Return the newest run that made or reused `key` and whose settings are on record."""
        return next(
            (
                record
                for record in self.all()
                if record.flow and any(made["key"] == key for made in record.artifacts)
            ),
            None,
        )

    def unfinished(self) -> list[RunRecord]:
        """Return the runs that were interrupted and that no later run of their name has made up
        for, newest first."""
        found: list[RunRecord] = []
        seen: set[str] = set()
        for record in self.all():
            if record.name not in seen and self.outcome(record) == "interrupted":
                found.append(record)
            seen.add(record.name)
        return found

    def _lock_of(self, record: RunRecord) -> Path:
        return self._locks / f"run-{record.id}"

    def _write(self, record: RunRecord) -> None:
        write_json(self.root / f"{record.id}.json", {"format": RUN_FORMAT} | asdict(record))
