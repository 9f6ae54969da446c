"""distances.db: one row a component of a pair, beside the runs and images of embeddings.db."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.detections.schema import SHARED, insert, insert_images, new_database
from storage.errors import StoreError
from storage.losses.parts import Block, RunCard
from storage.losses.reading import DATABASE, LossMatrix

if TYPE_CHECKING:
    from storage.drafts import Draft

DISTANCES = """
CREATE TABLE distances (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs,
    img_i INTEGER NOT NULL REFERENCES images,
    img_j INTEGER NOT NULL REFERENCES images,
    component TEXT NOT NULL,
    distance REAL NOT NULL,
    created_ts INTEGER NOT NULL,
    UNIQUE (run_id, img_i, img_j, component)
) STRICT
"""
LEFT_OUT = """
CREATE TABLE left_out (
    run_id INTEGER PRIMARY KEY REFERENCES runs,
    pairs INTEGER NOT NULL
) STRICT
"""
"""Runs whose distances are not in this database, and of how many pairs they are."""
TABLES = (*SHARED, DISTANCES, LEFT_OUT)


def finish(draft: "Draft") -> None:
    """Make distances.db of the sealed parts; without pairs where there are too many images."""
    folders = [draft.parts / name for name in draft.part_rows]
    with new_database(draft.path / DATABASE, TABLES) as opened:
        if not folders:
            return
        run_id = _insert_run(opened, RunCard.read(folders[0]))
        sizes: dict[str, tuple[int | None, int | None]] = {}
        for name, folder in zip(draft.part_rows, folders, strict=True):
            pixels = Block.read_sizes_px(folder).tolist()
            sizes |= {c: (h, w) for c, (h, w) in zip(draft.rows_of(name), pixels, strict=True)}
        ids = insert_images(opened, sizes)
        if len(sizes) > draft.plan["recipe"]["database_images"]:
            insert(opened, "left_out", [{"run_id": run_id, "pairs": len(sizes) ** 2}])
            return
        for name, folder in zip(draft.part_rows, folders, strict=True):
            rows, block = draft.rows_of(name), Block.read(folder)
            insert_distances(opened, run_id, ids, rows, block, RunCard.read(folder))


def write_distances(matrices: Sequence[LossMatrix], path: Path) -> int:
    """Write all pairs of `matrices` as one distances.db at `path`; return the number of rows.

    Each is a run of its own; images that several saw are one. Raises StoreError for two of a run.
    """
    keys = [matrix.card.run["key"] for matrix in matrices]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise StoreError(f"Two matrices are of the run {twice}: a database holds a run once.")
    with new_database(path, TABLES) as opened:
        return sum(copy_into(opened, matrix) for matrix in matrices)


def copy_into(opened: sqlite3.Connection, matrix: LossMatrix) -> int:
    """Add a run with all its pairs to an open distances.db; return the number of its rows.

    The run must not be in it yet; images are numbered on from those that are.
    """
    run_id = _insert_run(opened, matrix.card)
    ids = _known_images(opened, matrix)
    return sum(
        insert_distances(opened, run_id, ids, rows, block, matrix.card)
        for rows, block in matrix.blocks()
    )


def insert_distances(
    opened: sqlite3.Connection,
    run_id: int,
    ids: dict[str, int],
    rows: Sequence[str],
    block: Block,
    card: RunCard,
) -> int:
    """Insert every component of every pair in `block`, whose rows are of the images `rows`; return
    how many rows of the table that are."""
    created_ts = int(card.run["created_ts"])
    columns = [ids[content] for content in block.contents]

    def pairs() -> Iterator[tuple[Any, ...]]:
        for place, content in enumerate(rows):
            for component, losses in zip(card.components, block.losses, strict=True):
                for img_j, loss in zip(columns, losses[place].tolist(), strict=True):
                    yield run_id, ids[content], img_j, component, loss, created_ts

    before = opened.total_changes
    opened.executemany(
        "INSERT INTO distances (run_id, img_i, img_j, component, distance, created_ts) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        pairs(),
    )
    return opened.total_changes - before


def _insert_run(opened: sqlite3.Connection, card: RunCard) -> int:
    insert(opened, "runs", [dict(card.run)])
    found = opened.execute("SELECT run_id FROM runs WHERE key = ?", (card.run["key"],)).fetchone()
    return int(found[0])


def _known_images(opened: sqlite3.Connection, matrix: LossMatrix) -> dict[str, int]:
    """Return the img_id of every image of `matrix`, those inserted that are not there yet."""
    held = {
        sha256: number for sha256, number in opened.execute("SELECT sha256, img_id FROM images")
    }
    new = sorted(set(matrix.contents) - held.keys())
    first = max(held.values(), default=0) + 1
    ids = held | {content: first + step for step, content in enumerate(new)}
    sizes = matrix.sizes_px
    rows = [
        {"img_id": ids[c], "sha256": c, "height_px": sizes[c][0], "width_px": sizes[c][1]}
        for c in new
    ]
    insert(opened, "images", rows)
    return ids
