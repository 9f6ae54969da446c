"""The kill test finds no fault in the store, and does find the faults that are put into it."""

import json
import subprocess
import sys
from typing import Any

import pytest

DEATHS = 40
# Processes are forked from a fresh parent: the one that runs the tests has threads.
PARENT = """
import io, json, shutil, sys, tempfile
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import storage.atomic, storage.drafts, storage.publishing
from flows.cli import main
from storage.parts import Marker, PartWriter, marker_path, temporary_beside, write_json
from storage.steps import step
from tasks.killtest import run_kill_test


@contextmanager
def marker_first(parts, key, name, rows):
    temporary = temporary_beside(parts / name)
    temporary.mkdir()
    writer = PartWriter(temporary)
    yield writer
    marker = Marker(str(key), name, tuple(rows), writer.finish(), 0.0)
    write_json(marker_path(parts, name), marker.as_json())
    storage.atomic.rename(temporary, parts / name)


def in_place(path, data):
    with step("write", path):
        path.write_bytes(data[: len(data) // 2])
    path.write_bytes(data)


def starts_over(parts):
    plan = json.loads((parts.parent / "plan.json").read_bytes())["parts"]
    if len(list(parts.glob("*.json"))) < len(plan):
        for path in parts.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def told_with(module, name, replacement, step):
    sound = getattr(module, name)
    setattr(module, name, replacement)
    with tempfile.TemporaryDirectory() as folder:
        at = f"{step} drafts/image-features/KEY/parts/PART.json"
        told = run_kill_test(4, Path(folder), at=at)
    setattr(module, name, sound)
    return told.as_json()


with redirect_stdout(io.StringIO()) as printed:
    code = main(["doctor", "--kill-test", sys.argv[1], "--seed", "1", "--json"])
json.dump(
    {
        "code": code,
        "sound": json.loads(printed.getvalue()),
        "marker first": told_with(storage.drafts, "writing", marker_first, "rename"),
        "written in place": told_with(storage.atomic, "write_file", in_place, "write"),
        "starts over": told_with(storage.publishing, "sweep", starts_over, "rename"),
    },
    sys.stdout,
)
"""


@pytest.fixture(scope="module")
def told() -> Any:
    done = subprocess.run(
        [sys.executable, "-c", PARENT, str(DEATHS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_forty_deaths_tear_lose_double_and_change_no_row(told: Any) -> None:
    assert told["sound"]["faults"] == []
    assert (told["code"], told["sound"]["is_sound"]) == (0, True)


def test_every_counted_process_really_died(told: Any) -> None:
    assert told["sound"]["total"]["kills"] == DEATHS


def test_a_death_costs_at_most_one_part_of_work(told: Any) -> None:
    assert told["sound"]["most_remade"] <= 1


def test_processes_die_at_named_steps_and_at_random_moments(told: Any) -> None:
    at_random = told["sound"]["tallies"]["at a random moment"]["kills"]
    assert at_random >= DEATHS // 4
    assert len(told["sound"]["covered"]) >= DEATHS // 4


@pytest.mark.parametrize(
    ("fault", "shows_as"),
    [("marker first", "torn"), ("written in place", "torn"), ("starts over", "lost")],
)
def test_a_store_that_breaks_its_rules_is_found_out(told: Any, fault: str, shows_as: str) -> None:
    assert told[fault]["total"][shows_as] > 0
    assert not told[fault]["is_sound"]
