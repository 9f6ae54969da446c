"""`featuremill run PRESET`: make what a preset says, or what is missing of it."""

import argparse
import importlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from conf.load import LoadedPreset, load_preset
from conf.runtime import Runtime
from flows.cli import DONE, add_preset, print_json, runtime_of
from flows.server import prefect_server

if TYPE_CHECKING:
    from flows.run import Run

HELP = "make what a preset says; what is stored is reused, what is missing is made"


SHOWN_ROWS = 40
"""Rows of a table that are printed for people."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the preset, its changes and --verbose."""
    add_preset(parser)
    parser.add_argument("--verbose", action="store_true", help="show Prefect's log")


def run(given: argparse.Namespace) -> int:
    """Run the flow of a preset and print what it made."""
    preset = load_preset(given.preset, given.set)
    return execute(preset, runtime_of(given, preset.runtime), given)


def execute(preset: LoadedPreset, runtime: Runtime, given: argparse.Namespace) -> int:
    """Run `preset`, its plan told before and its result after, as the flags in `given` say."""
    for name in ("PREFECT_LOGGING_LEVEL", "PREFECT_LOGGING_INTERNAL_LEVEL"):
        os.environ.setdefault(name, "INFO" if given.verbose else "CRITICAL")
    began = time.perf_counter()

    def tell() -> None:
        if not given.json:
            _show_plan(preset, runtime)

    with first_interrupt_stops(), prefect_server(meanwhile=tell):
        made = importlib.import_module("flows.deployed").run_loaded(preset, runtime)
    seconds = time.perf_counter() - began
    report = importlib.import_module("flows.report").write_report(made, seconds)
    if given.json:
        print_json(as_json(made, seconds) | {"report": str(report) if report else None})
    else:
        print_report(made, seconds)
        if report:
            print(f"All of it on one page: {report}")
    return DONE


def _show_plan(preset: LoadedPreset, runtime: Runtime) -> None:
    """Say on standard error what is about to happen: nothing is asked, nothing waits."""
    from flows.cli.plan import as_text, summary
    from flows.planning import plan

    foreseen = plan(preset, runtime)
    if any(one.state != "reuse" for one in foreseen.artifacts):
        print(as_text(foreseen), file=sys.stderr)
    else:
        print(summary(foreseen), file=sys.stderr)


@contextmanager
def first_interrupt_stops() -> Iterator[None]:
    """Let the first Ctrl-C finish the running parts and begin no other; a second one interrupts."""
    from tasks.stopping import stop_requested

    def ask(signal_number: int, frame: FrameType | None) -> None:
        stop_requested.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print(
            "\nStopping when the running parts are sealed. Ctrl-C again to stop at once.",
            file=sys.stderr,
        )

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def as_json(run: "Run", seconds: float) -> dict[str, Any]:
    """Return a run as a JSON object."""
    return {
        "run": run.name,
        "store": str(run.runtime.store),
        "seconds": round(seconds, 3),
        "artifacts": [
            made.as_json() | {"path": str(run.store.path_of(made.artifact))} for made in run.made
        ],
        "tables": [
            {"title": table.title, "header": table.header, "rows": list(table.rows)}
            for table in run.tables
        ],
    }


def print_report(run: "Run", seconds: float) -> None:
    """Print the tables of a run, its artifacts, and where they are."""
    from tasks.pages.tables import as_text

    for table in run.tables:
        print(f"\n{table.title}\n\n{as_text(table.header, table.rows[:SHOWN_ROWS])}")
        if len(table.rows) > SHOWN_ROWS:
            print(f"... and {len(table.rows) - SHOWN_ROWS:,} rows more; --json prints all of them.")
    header = ("artifact", "state", "rows", "made now", "seconds", "key", "")
    rows = [
        (
            f"{run.name}/{made.name}",
            made.state,
            f"{made.artifact.rows:,}",
            f"{made.rows_made:,}",
            f"{made.seconds:.1f}",
            made.artifact.key,
            made.note,
        )
        for made in run.made
    ]
    print(f"\nArtifacts of this run ({seconds:.1f} s)\n\n{as_text(header, rows)}")
    print(f"\nThey are in {run.runtime.store}")
    if run.made:
        print(f"Look closer: {_program()} show {run.name}/{run.made[-1].name}")


def _program() -> str:
    """Return how the user calls this program: by its name when the shell finds it."""
    found = shutil.which("featuremill")
    return "featuremill" if found else os.path.relpath(sys.argv[0])
