"""`featuremill resume`: go on with the last run that did not end."""

import argparse

from conf.errors import RecipeError, did_you_mean
from conf.load import LoadedPreset, preset_schema, validate
from conf.runtime import Runtime
from flows.cli import DONE, runtime_of
from storage.runs import RunRecord, Runs
from storage.store import ArtifactStore

HELP = "go on with the last run that was killed, stopped or failed: only what is missing is made"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run's name, and --verbose as `run` has it."""
    parser.add_argument("name", nargs="?", help="the run's name: a preset's or a flow's")
    parser.add_argument("--verbose", action="store_true", help="show Prefect's log")


def run(given: argparse.Namespace) -> int:
    """Run again what the record of an unfinished run says, with the settings that it had."""
    store = ArtifactStore(runtime_of(given).store, create=False)
    found = _chosen(given.name, Runs(store.path).unfinished())
    if found is None:
        print(f"Every run in {store.path} has ended, or is still at work. Nothing to go on with.")
        return DONE
    return execute_again(found, store, given)


def execute_again(found: RunRecord, store: ArtifactStore, given: argparse.Namespace) -> int:
    """Run what a record of `store` says, with the settings and runtime that it had, as the flags
    say; in this very store, which may lie elsewhere by now."""
    from flows.cli.run import execute

    place = f"the record of run {found.id}"
    settings = validate(preset_schema(found.flow, place), dict(found.settings), place)
    runtime = validate(Runtime, {**found.runtime, "store": str(store.path)}, place)
    again = LoadedPreset(found.name, found.flow, "", settings, runtime)
    return execute(again, runtime_of(given, runtime), given)


def _chosen(name: str | None, unfinished: list[RunRecord]) -> RunRecord | None:
    known = {record.name: record for record in unfinished if record.flow}
    if name is None:
        return next(iter(known.values()), None)
    if name not in known:
        others = did_you_mean(name, known) if known else "None does: `featuremill ls --runs`."
        raise RecipeError(f"No run named {name!r} waits to be ended. {others}")
    return known[name]
