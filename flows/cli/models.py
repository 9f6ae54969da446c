"""`featuremill models ls|fetch NAME`: the weights on this machine, and how more get here."""

import argparse
import os
from dataclasses import asdict
from typing import Any

from flows.cli import DONE, print_json, runtime_of

HELP = "list the models on this machine, or download one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to do and to which model."""
    parser.add_argument("action", choices=("ls", "fetch"), help="list models, or download one")
    parser.add_argument("name", nargs="?", help="such as ViT-B-32/laion2b_s34b_b79k")
    parser.add_argument("--revision", help="the commit of the hub repository; default: its newest")


def run(given: argparse.Namespace) -> int:
    """Print the models that are here, or fetch one and print where it is."""
    return _fetch(given) if given.action == "fetch" else _list(given)


def _list(given: argparse.Namespace) -> int:
    from tasks.models.weights import list_models
    from tasks.pages.tables import as_text

    models = runtime_of(given).models
    rows = list_models(models)
    if given.json:
        print_json([_plain(asdict(row)) for row in rows])
        return DONE
    cells = [
        (row.name, row.family, "here" if row.present else "missing", row.remedy or str(row.path))
        for row in rows
    ]
    print(as_text(("model", "family", "state", "where, or what to do"), cells))
    print(f"\nThe models root is {models}")
    return DONE


def _fetch(given: argparse.Namespace) -> int:
    from conf.errors import RecipeError

    if not given.name:
        raise RecipeError("models fetch needs a name; `featuremill models ls` suggests some.")
    os.environ["HF_HUB_OFFLINE"] = (
        "0"  # before the hub's client reads it: this verb is the download
    )
    from tasks.models.weights import fetch

    row = fetch(given.name, runtime_of(given).models, revision=given.revision)
    if given.json:
        print_json(_plain(asdict(row)))
    else:
        print(f"{row.name} is in {row.path}")
    return DONE


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    return facts | {"path": None if facts["path"] is None else str(facts["path"])}
