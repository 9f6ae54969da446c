"""The verb `losses`, on a store that holds a matrix."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from storage.losses import LossMatrix


@pytest.fixture
def matrix(world: Any, monkeypatch: pytest.MonkeyPatch) -> LossMatrix:
    monkeypatch.setenv("FEATUREMILL_STORE", str(world.store.path))
    return LossMatrix(world.store, world.matrix(6))


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["losses", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_pair_is_told_in_both_directions(
    matrix: LossMatrix, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = answer(capsys, "pair", matrix.artifact.key, "0", matrix.contents[3][:10])
    assert [row["component"] for row in rows] == list(matrix.components)
    assert rows[0]["i with j"] == matrix.dist(0, 3)["box"]
    assert rows[0]["j with i"] == matrix.dist(3, 0)["box"]


def test_the_nearest_have_the_least_regret(
    matrix: LossMatrix, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = answer(capsys, "near", matrix.artifact.key, "2", "--count", "3")
    regrets = [row["regret"] for row in rows]
    assert len(rows) == 3
    assert regrets == sorted(regrets)
    assert 2 not in [row["place"] for row in rows]


def test_an_export_holds_every_pair_and_replaces_nothing_unasked(
    matrix: LossMatrix, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "all.db"
    told = answer(capsys, "export", matrix.artifact.key, "--into", str(path))
    assert told == {"path": str(path), "rows": 144}
    with closing(sqlite3.connect(path)) as opened:
        assert opened.execute("SELECT COUNT(*) FROM distances").fetchone() == (144,)
    assert main(["losses", "export", matrix.artifact.key, "--into", str(path)]) != 0
    assert "is there already" in capsys.readouterr().err


def test_a_wrong_number_of_subjects_is_told(
    matrix: LossMatrix, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["losses", "pair", matrix.artifact.key]) != 0
    assert "`losses pair` wants KEY I J." in capsys.readouterr().err
