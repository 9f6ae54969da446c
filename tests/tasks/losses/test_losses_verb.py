"""The verb `losses`, on a store that holds a matrix."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from storage.losses import LossClusters, LossMatrix
from storage.losses.clusters import rich_in


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


def test_groups_are_told_with_their_medoids(
    matrix: LossMatrix, world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    made = world.groups(matrix.artifact, 6)
    found = LossClusters(world.store, made)
    rows = answer(capsys, "groups", made.key)
    assert {str(row["group"]): row["medoid"] for row in rows} == found.summary["medoids"]
    sizes = found.images["group"].value_counts()
    assert [row["images"] for row in rows] == [sizes[row["group"]] for row in rows]


def test_a_group_is_rich_in_what_it_has_more_of_than_by_chance() -> None:
    def told(group: int, name: str, lift: float, q: float) -> dict[str, Any]:
        return {"group": group, "name": name, "images": 9, "lift": lift, "q": q}

    found = rich_in(
        {
            "enrichment": [
                told(1, "platelet", 3.0, 0.001),
                told(0, "monocyte", 2.0, 0.01),
                told(0, "platelet", 0.2, 0.02),
                told(1, "monocyte", 1.5, 0.04),
                told(0, "lymphocyte", 4.0, 0.05),
            ]
        }
    )
    names = {group: [one["name"] for one in classes] for group, classes in found.items()}
    assert names == {1: ["platelet", "monocyte"], 0: ["monocyte"]}


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
