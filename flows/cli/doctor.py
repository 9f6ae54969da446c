"""`featuremill doctor`: whether this machine can do the work, and a test that kills to find out."""

import argparse
import sys
import tempfile
from pathlib import Path

from flows.cli import DAMAGED, DONE, FAILED, print_json, runtime_of

HELP = "say where things are and whether they can be used; with --kill-test, kill and audit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how deep to look, and the kill test."""
    parser.add_argument("--deep", action="store_true", help="import torch to ask for its devices")
    parser.add_argument(
        "--kill-test",
        type=_positive,
        metavar="N",
        help="kill N processes that make artifacts, and audit the store after each death",
    )
    parser.add_argument("--at", default="", metavar="STEP", help="kill at steps named like this")
    parser.add_argument("--seed", type=int, default=0, help="of the kill test (default: 0)")


def run(given: argparse.Namespace) -> int:
    """Print what was found; exit codes: 1 something is wrong, 3 a killed process harmed a row."""
    if given.kill_test:
        return _kill(given)
    from tasks.doctor import examine
    from tasks.pages.tables import as_text

    checks = examine(runtime_of(given), is_deep=given.deep)
    wrong = [check for check in checks if check.remedy]
    if given.json:
        print_json([vars(check) for check in checks])
        return FAILED if wrong else DONE
    rows = [("ok" if not c.remedy else "WRONG", c.name, c.found) for c in checks]
    print(as_text(("", "what", "found"), rows))
    for check in wrong:
        print(f"\n{check.name}: {check.remedy}")
    return FAILED if wrong else DONE


def _kill(given: argparse.Namespace) -> int:
    from tasks.killtest import HEADER, run_kill_test
    from tasks.pages.tables import as_text

    def tell(died: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{died} of {given.kill_test} died", end="", file=sys.stderr)

    with tempfile.TemporaryDirectory(prefix="featuremill-kill-test-") as folder:
        # No progress bar: its thread would be forked.
        report = run_kill_test(
            given.kill_test, Path(folder), seed=given.seed, at=given.at, on_progress=tell
        )
    if given.json:
        print_json(report.as_json())
    else:
        print(f"\r{as_text(HEADER, report.rows())}\n\n{report.verdict()}")
    return DONE if report.is_sound else DAMAGED


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} deaths were asked for; one is the least.")
    return number
