import json
from pathlib import Path
from typing import Any

import pytest

from conf.images import ImageRecipe
from conf.keys import ArtifactKey
from conf.models import ModelSpec
from flows.cli import main
from storage.drafts import Making
from storage.publishing import driving
from storage.store import ArtifactStore

KINDS = ("dataset", "image-features", "image-labels", "prompt-features")


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, list[dict[str, Any]]]:
    assert main(["ls", "--json", *words]) == 0
    found: dict[str, list[dict[str, Any]]] = json.loads(capsys.readouterr().out)
    return found


def test_every_artifact_is_listed_with_its_rows_and_names(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {entry["kind"]: entry for entry in listed(capsys)["artifacts"]}
    assert sorted(found) == sorted(KINDS)
    assert found["image-features"]["rows"] == found["dataset"]["rows"] == 12
    assert found["image-features"]["refs"] == ["small/features"]
    assert found["image-features"]["size_bytes"] > 12 * 32 * 2


def test_the_newest_comes_first(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = [entry["at"] for entry in listed(capsys)["artifacts"]]
    assert times == sorted(times, reverse=True)


def test_a_kind_lists_its_own_only(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (entry,) = listed(capsys, "image-labels")["artifacts"]
    assert entry["kind"] == "image-labels"


def test_a_kind_of_which_nothing_is_there_names_the_nearest(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ls", "image-feature"]) == 1
    assert capsys.readouterr().err == (
        "No 'image-feature' is published. Did you mean 'image-features'?\n"
    )


def test_people_get_a_table(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == 0
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["key", "rows", "size", "seconds", "published", "names"]
    assert len(rows) == 4
    assert any("small/labels" in row for row in rows)


def test_a_draft_says_how_far_it_is(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = ImageRecipe(model=ModelSpec(family="toy", precision="fp32"))
    making = Making(recipe, {"content": ArtifactKey("content", 1, "0" * 16)}, ("0" * 64, "1" * 64))
    with driving(ArtifactStore(own_store), making, part_rows=1):
        pass
    assert listed(capsys)["drafts"] == [{"key": str(making.key), "sealed_parts": 0, "parts": 2}]
    main(["ls"])
    told = capsys.readouterr().out
    assert f"in the making: {making.key}, 0 of 2 parts sealed" in told


def test_an_empty_store_says_what_to_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEATUREMILL_STORE", str(tmp_path / "empty"))
    ArtifactStore(tmp_path / "empty")
    assert main(["ls"]) == 0
    assert capsys.readouterr().out == "Nothing is published yet. Try: featuremill run demo\n"


def test_a_damaged_catalog_is_made_anew(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_store / "catalog.sqlite").write_bytes(b"no database" * 1000)
    assert len(listed(capsys)["artifacts"]) == 4


def test_what_is_gone_is_listed_no_more(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(listed(capsys)["artifacts"]) == 4
    store = ArtifactStore(own_store)
    store.quarantine(store.published()[0], "tried")
    assert len(listed(capsys)["artifacts"]) == 3
