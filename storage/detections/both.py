"""embeddings.db and distances.db together: are they of the same runs and images, and complete?"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from storage.detections.checks import Check, Checking, check_frame, columns_of
from storage.detections.schema import SHARED, connect
from storage.detections.validating import Runs, components_of, runs_of, validate_embeddings

_DISTANCES = """
CREATE TABLE distances (run_id INTEGER, img_i INTEGER, img_j INTEGER, component TEXT, distance REAL)
"""
_SAME = (
    "family",
    "model",
    "sha256",
    "library",
    "head",
    "task",
    "size_px",
    "conf",
    "iou",
    "max_det",
)


def validate(embeddings: Path, distances: Path | None = None) -> list[Check]:
    """Return what checking embeddings.db and, unless None, distances.db with it found."""
    found, runs = validate_embeddings(embeddings)
    return found if distances is None else found + validate_distances(distances, runs)


def validate_distances(path: Path, runs: Runs) -> list[Check]:
    """Return what checking distances.db found, beside the `runs` of an embeddings.db."""
    with closing(connect(path)) as opened:
        whole = Checking(path.name)
        if not check_frame(opened, (*SHARED, _DISTANCES), whole):
            return whole.made
        here = runs_of(opened, "distances", ("img_i", "img_j"))
        strangers = [f"run {key} is in no row of embeddings.db" for key in here.keys() - runs]
        whole.check("its runs are in embeddings.db", len(here), strangers)
        detecting = {key for key, run in runs.items() if run["head"] is not None}
        absent = [f"run {key} has no distances" for key in sorted(detecting - here.keys())]
        whole.check("the detectors' runs are here", len(detecting), absent)
        found = whole.made
        for key in here.keys() & runs.keys():
            checking = Checking(f"{path.name}, run {here[key]['run_id']}")
            _check_run(opened, here[key], runs[key], checking)
            found += checking.made
    return found


def _check_run(
    opened: sqlite3.Connection, run: dict[str, Any], other: dict[str, Any], checking: Checking
) -> None:
    differing = [
        f"{name} is {run[name]!r} here and {other[name]!r} there"
        for name in _SAME
        if run[name] != other[name]
    ]
    checking.check("the run is the same in both", len(_SAME), differing)
    images = len(other["images"])
    if _left_out(opened, run, other, checking):
        return
    unknown = [f"image {one[:12]}... has no embedding" for one in run["images"] - other["images"]]
    checking.check("its images have embeddings", len(run["images"]), unknown)
    missing = [f"image {one[:12]}... has no distance" for one in other["images"] - run["images"]]
    checking.check("every image has distances", images, missing)
    if run["head"] is None:
        checking.equal("an encoder has no distances", len(run["images"]), 0)
        return
    given = (run["run_id"],)
    counts = dict(
        opened.execute(
            "SELECT component, count(*) FROM distances WHERE run_id = ? GROUP BY component", given
        )
    )
    checking.equal("components", sorted(counts), sorted(components_of(run)))
    short = [
        f"{component} has {count} of {images**2} pairs"
        for component, count in counts.items()
        if count != images**2
    ]
    checking.check("distances of all pairs", sum(counts.values()), short)
    (twice,) = opened.execute(
        "SELECT count(*) FROM (SELECT 1 FROM distances WHERE run_id = ? "
        "GROUP BY img_i, img_j, component HAVING count(*) > 1)",
        given,
    ).fetchone()
    checking.equal("distances that are there twice", twice, 0)
    (wrong,) = opened.execute(
        "SELECT count(*) FROM distances WHERE run_id = ? AND (distance IS NULL OR distance < 0 "
        "OR distance > 1e30)",
        given,
    ).fetchone()
    checking.equal("distances that are no finite number from 0 on", wrong, 0)


def _left_out(
    opened: sqlite3.Connection, run: dict[str, Any], other: dict[str, Any], checking: Checking
) -> bool:
    """Check a run of more images than its database was to hold; return whether it is one."""
    if "left_out" not in columns_of(opened):
        return False
    given = (run["run_id"],)
    found = opened.execute("SELECT pairs FROM left_out WHERE run_id = ?", given).fetchone()
    if found is None:
        return False
    (rows,) = opened.execute("SELECT count(*) FROM distances WHERE run_id = ?", given).fetchone()
    told = f"{found[0]:,} pairs are left out, `featuremill losses export KEY --into FILE` has them"
    checking.equal(f"no distances: {told}", rows, 0)
    checking.equal("pairs left out", found[0], len(other["images"]) ** 2)
    known = {sha256 for (sha256,) in opened.execute("SELECT sha256 FROM images")}
    missing = [f"image {one[:12]}... is not in images" for one in other["images"] - known]
    checking.check("its images are known", len(other["images"]), missing)
    return True
