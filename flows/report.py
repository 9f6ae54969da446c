"""The report of a run, in the store: `<store>/reports/<run>.html`, written anew by each run."""

import os
import re
import time
from contextlib import suppress
from pathlib import Path

from flows.run import Made, Run, Table
from storage.atomic import make_directory, write_file
from tasks.pages.run_report import Report, ReportedArtifact, ReportedTable, run_report

FOLDER = "reports"


def write_report(run: Run, seconds: float) -> Path | None:
    """Return the path of the page that links all that `run` made; None where nothing can be
    written, for what was reused from a read-only store needs no other place."""
    path = run.store.path / FOLDER / f"{re.sub('[^A-Za-z0-9._-]+', '-', run.name).lstrip('.')}.html"
    page = run_report(
        Report(
            run=run.name,
            seconds=seconds,
            store=str(run.store.path),
            artifacts=[_reported(run, made) for made in run.made],
            tables=[_told(one, path.parent) for one in run.tables],
            ended=time.time(),
        )
    )
    with suppress(OSError):
        make_directory(path.parent)
        write_file(path, page.encode("utf-8", "replace"))
        return path
    return None


def _told(table: Table, beside: Path) -> ReportedTable:
    """Return a table as the report shows it. A title such as "Photos of x: PAGE.html" names a
    page, which becomes a link."""
    title, _, named = table.title.rpartition(": ")
    if title and named.endswith(".html") and os.path.isfile(named):
        page = os.path.relpath(named, beside)
        return ReportedTable(title, table.header, table.rows, Path(page).as_posix())
    return ReportedTable(table.title, table.header, table.rows)


def _reported(run: Run, made: Made) -> ReportedArtifact:
    folder = run.store.path_of(made.artifact)
    files = run.store.manifest(made.artifact.key).files
    inside = f"../{folder.relative_to(run.store.path).as_posix()}"
    return ReportedArtifact(
        name=made.name,
        key=made.artifact.key,
        state=made.state,
        rows=made.artifact.rows,
        rows_made=made.rows_made,
        rows_computed=made.rows_computed,
        seconds=made.seconds,
        note=made.note,
        folder=inside,
        pages=[f"{inside}/{name}" for name in sorted(files) if name.endswith(".html")],
    )
