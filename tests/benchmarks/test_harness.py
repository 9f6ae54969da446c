import json
import sys
from pathlib import Path

import pytest

from benchmarks import _harness as harness


def test_sides_alternate_and_every_other_round_runs_the_other_way_round() -> None:
    called: list[str] = []

    def side(name: str) -> float:
        called.append(name)
        return float(len(called))

    seconds = harness.alternate({"a": lambda _: side("a"), "b": lambda _: side("b")}, rounds=3)
    assert called == ["a", "b", "b", "a", "a", "b"]
    assert seconds == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}


def test_a_ratio_is_the_median_of_the_ratios_of_neighbours() -> None:
    assert harness.median_ratio([1, 10, 100], [2, 10, 10]) == 1


def test_peak_memory_counts_what_was_held_and_let_go() -> None:
    before = harness.peak_memory_bytes()
    grown = before + (64 << 20)
    bytearray(grown)
    assert harness.peak_memory_bytes() >= grown


def test_the_last_line_is_one_json_object_with_the_benchmarks_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEATUREMILL_STORE", "to be put back")
    monkeypatch.setattr(sys, "argv", ["benchmarks.nothing", "--json", "--small"])

    def measure(folder: Path, *, small: bool) -> harness.Figures:
        return {"ratio": 1.0, "small": small, "empty": not list(folder.iterdir())}

    harness.main("nothing", measure)
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["name"] == "nothing"
    assert said["small"]
    assert said["empty"]
    assert said["peak_memory_bytes"] > 0


def test_without_json_every_figure_has_a_line() -> None:
    assert harness.as_text({"name": "a", "seconds": 1.5}) == "name     a\nseconds  1.5"
