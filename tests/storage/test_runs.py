import gc
import subprocess
import sys
from pathlib import Path

import pytest

from storage.atomic import is_held
from storage.runs import RunRecord, Runs

ARTIFACT = {"name": "features", "key": "k-v1-0123456789abcdef", "state": "Completed"}
KILLED = """
import os, sys
from pathlib import Path
from storage.runs import Runs
runs = Runs(Path(sys.argv[1]))
with runs.recording("digits", "images", {"a": 1}, {}):
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def complete(runs: Runs, name: str) -> RunRecord:
    with runs.recording(name, "images", {}, {}) as record:
        runs.end(record, [ARTIFACT])
    return record


def die(runs: Runs) -> None:
    folder = str(runs.root.parent)
    assert subprocess.run([sys.executable, "-c", KILLED, folder], check=False).returncode == -9


def test_a_run_is_at_work_then_completed(runs: Runs) -> None:
    with runs.recording("digits", "images", {"limit": 3}, {"workers": 1}) as record:
        (found,) = runs.all()
        assert runs.outcome(found) == "at work"
        assert (found.name, found.flow, found.settings) == ("digits", "images", {"limit": 3})
        runs.end(record, [ARTIFACT])
    (found,) = runs.all()
    assert runs.outcome(found) == "completed"
    assert found.artifacts == [ARTIFACT]
    assert not list(runs.root.parent.glob("locks/run-*"))


def test_a_killed_run_is_interrupted_and_waits_to_be_ended(runs: Runs) -> None:
    die(runs)
    (found,) = runs.unfinished()
    assert runs.outcome(found) == "interrupted"
    assert found.settings == {"a": 1}


def test_a_later_run_of_the_same_name_makes_up_for_it(runs: Runs) -> None:
    die(runs)
    complete(runs, "another")
    assert [record.name for record in runs.unfinished()] == ["digits"]
    complete(runs, "digits")
    assert not runs.unfinished()


def test_an_error_leaves_the_run_interrupted(runs: Runs) -> None:
    with pytest.raises(ZeroDivisionError), runs.recording("digits", "images", {}, {}):
        raise ZeroDivisionError
    assert [runs.outcome(record) for record in runs.all()] == ["interrupted"]


def test_a_run_that_is_dropped_frees_its_locks(runs: Runs) -> None:
    recording = runs.recording("digits", "images", {}, {})
    recording.__enter__()
    assert is_held(runs.everyone)
    del recording
    gc.collect()
    assert not is_held(runs.everyone)
    assert [runs.outcome(record) for record in runs.all()] == ["interrupted"]


def test_two_runs_are_at_work_at_once(runs: Runs) -> None:
    with runs.recording("a", "images", {}, {}), runs.recording("b", "images", {}, {}):
        assert {runs.outcome(record) for record in runs.all()} == {"at work"}


def test_what_is_no_record_is_passed_over(runs: Runs) -> None:
    complete(runs, "digits")
    for number, text in enumerate(["{", "[]", '{"format": 99}', '{"format": 1, "odd": 2}']):
        (runs.root / f"{number}.json").write_text(text)
    assert [record.name for record in runs.all()] == ["digits"]
