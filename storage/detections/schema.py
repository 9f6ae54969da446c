"""What embeddings.db and distances.db share: the runs and the images that their rows belong to."""

import errno
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from storage.atomic import fsync_file, rename, temporary_beside
from storage.errors import StoreError
from storage.steps import step

PAGE_BYTES = 16384

RUNS = """
CREATE TABLE runs (
    run_id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    family TEXT NOT NULL,
    model TEXT NOT NULL,
    weights TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    library TEXT NOT NULL,
    precision TEXT NOT NULL,
    head TEXT,
    task TEXT,
    size_px INTEGER,
    conf REAL,
    iou REAL,
    max_det INTEGER,
    recipe TEXT NOT NULL,
    created_ts INTEGER NOT NULL
) STRICT
"""
IMAGES = """
CREATE TABLE images (
    img_id INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    height_px INTEGER,
    width_px INTEGER
) STRICT
"""
SHARED = (RUNS, IMAGES)


@dataclass(frozen=True)
class RunRow:
    """A row of `runs`: one model that looked at images, with all that decides what it said.

    The same run has the same row in both databases; only `run_id` may differ once runs are merged.
    """

    key: str
    """The artifact that holds the run's features: `detections-v1-...`, `image-features-v1-...`."""
    recipe: Mapping[str, Any]
    """The recipe of that artifact, as its manifest has it."""
    created_ts: int
    """When it was begun, in seconds since 1970, UTC."""
    head: str | None = None
    """The head's family, "v8", "11" or "26"; None for a model that finds no objects."""
    task: str | None = None
    """"detect" or "segment"; None for a model that finds no objects."""

    def values(self) -> dict[str, Any]:
        """Return the columns of the row, all but run_id."""
        model, thresholds = self.recipe["model"], self.recipe.get("thresholds", {})
        return {
            "key": self.key,
            "family": model["family"],
            "model": model["name"],
            "weights": model["weights"],
            "sha256": model["sha256"],
            "library": model["library"],
            "precision": model["precision"],
            "head": self.head,
            "task": self.task,
            "size_px": self.recipe.get("size_px"),
            **{name: thresholds.get(name) for name in ("conf", "iou", "max_det")},
            "recipe": json.dumps(self.recipe, sort_keys=True),
            "created_ts": self.created_ts,
        }


def insert(opened: sqlite3.Connection, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert `rows`, columns by name; all rows have the columns of the first."""
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    columns = list(first)
    marks = ", ".join(f":{column}" for column in columns)
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
    opened.executemany(statement, chain([first], rows))


def insert_run(opened: sqlite3.Connection, run: RunRow) -> int:
    """Insert `run` and return its run_id."""
    insert(opened, "runs", [run.values()])
    (run_id,) = opened.execute("SELECT run_id FROM runs WHERE key = ?", (run.key,)).fetchone()
    return int(run_id)


def image_ids(contents: Sequence[str]) -> dict[str, int]:
    """Return the img_id of each content in a database of one run: from 1, in sorted order.

    So both databases of a run number their images alike.
    """
    return {content: number for number, content in enumerate(sorted(contents), start=1)}


def insert_images(
    opened: sqlite3.Connection, sizes_px: Mapping[str, tuple[int | None, int | None]]
) -> dict[str, int]:
    """Insert the images of a run, (height, width) by content, and return the img_id of each."""
    ids = image_ids(list(sizes_px))
    rows = [
        {"img_id": number, "sha256": content, "height_px": height, "width_px": width}
        for content, number in ids.items()
        for height, width in [sizes_px[content]]
    ]
    insert(opened, "images", rows)
    return ids


@contextmanager
def new_database(path: Path, tables: Sequence[str]) -> Iterator[sqlite3.Connection]:
    """Yield a new database with `tables`; on leaving it is checked and put at `path`, whole.

    One transaction, pages of 16 KiB, foreign keys enforced, no journal left beside it. What was at
    `path` is replaced.
    """
    temporary = temporary_beside(path)
    try:
        with step("write", path), closing(sqlite3.connect(temporary)) as opened:
            opened.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            opened.execute("PRAGMA journal_mode = OFF")
            opened.execute("PRAGMA synchronous = OFF")  # flushed below, once
            opened.execute("PRAGMA foreign_keys = ON")
            for table in tables:
                opened.execute(table)
            yield opened
            opened.commit()
            _check(opened, path)
        fsync_file(temporary)
        rename(temporary, path)
    except sqlite3.OperationalError as problem:
        if "full" in str(problem):  # SQLite has no other sign of it
            raise OSError(errno.ENOSPC, str(problem), str(path)) from problem
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _check(opened: sqlite3.Connection, path: Path) -> None:
    if broken := opened.execute("PRAGMA foreign_key_check").fetchall():
        raise StoreError(f"{path.name}: {len(broken)} rows point nowhere, such as {broken[0]}.")


def connect(path: Path) -> sqlite3.Connection:
    """Return a read-only connection; raises StoreError when there is no database at `path`."""
    if not path.is_file():
        raise StoreError(f"There is no database {path}. Name the embeddings.db or distances.db.")
    opened = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    opened.row_factory = sqlite3.Row
    return opened
