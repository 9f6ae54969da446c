"""`featuremill plan PRESET`: what a run would do and why, before anything is done."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from conf.load import load_preset
from flows.cli import DONE, add_preset, print_json, runtime_of
from tasks.declaring import only_plan

if TYPE_CHECKING:
    from flows.planning import Plan
    from storage.foresight import Foreseen

HELP = "say what a run would make, reuse and resume, why, and how long it would take"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the preset and its changes."""
    add_preset(parser)


def run(given: argparse.Namespace) -> int:
    """Print what `featuremill run` would do with the same words."""
    preset = load_preset(given.preset, given.set)
    if given.alone:
        only_plan()
    from flows.planning import plan

    found = plan(preset, runtime_of(given, preset.runtime))
    if given.json:
        print_json(as_json(found))
    else:
        print(as_text(found))
    return DONE


def as_json(plan: "Plan") -> dict[str, Any]:
    """Return a plan as a JSON object."""
    artifacts = [asdict(one) for one in plan.artifacts]
    return {"run": plan.name, "artifacts": artifacts, "unknown": plan.unknown}


def as_text(plan: "Plan") -> str:
    """Return a plan as a table for people, one artifact a line, and what it comes to."""
    from conf.units import size
    from tasks.pages.tables import as_text as table_text

    header = ("artifact", "will be", "rows", "to make", "size", "time", "")
    rows = [
        (
            one.name,
            _said(one),
            f"{one.rows:,}",
            f"{one.rows_to_make:,}" if one.state != "reuse" else "",
            "" if one.size_bytes is None else size(one.size_bytes),
            _time(one.seconds),
            one.note,
        )
        for one in plan.artifacts
    ]
    told, lines = [], table_text(header, rows).split("\n")
    told += lines[:2]
    for line, one in zip(lines[2:], plan.artifacts, strict=True):
        told += [line, *(f"    {reason}" for reason in one.reasons)]
    return "\n".join([*told, *plan.unknown, summary(plan)])


def summary(plan: "Plan") -> str:
    """Return how many artifacts are reused, how many made, and the time that is known of."""
    made = [one for one in plan.artifacts if one.state in {"make", "resume"}]
    blocked = sum(one.state == "blocked" for one in plan.artifacts)
    counts = {
        "reused": len(plan.artifacts) - len(made) - blocked,
        "to make": len(made),
        "blocked": blocked,
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    known = [one.seconds for one in made if one.seconds is not None]
    if not known:
        return f"{said}."
    rest = len(made) - len(known)
    unknown = f", and {rest} of unknown time" if rest else ""
    return f"{said}; about {_time(sum(known))}{unknown}, by earlier runs on this system."


def _said(one: "Foreseen") -> str:
    if one.state == "resume":
        return f"resumed, {one.parts_sealed} of {one.parts} parts are there"
    words = {"reuse": "reused", "make": "made", "blocked": "blocked"}
    taken = f", {one.rows_taken_over:,} rows taken over" if one.rows_taken_over else ""
    return words[one.state] + taken


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
