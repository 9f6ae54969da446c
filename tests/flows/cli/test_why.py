"""Verbs `why`, `diff`, `accept` and `verify --repair`."""

import json
from pathlib import Path
from typing import Any

import pytest

from conf.images import ImageRecipe
from conf.keys import ArtifactKey
from flows.cli import main
from storage.store import ArtifactStore

SET = ["--set", "model.family=toy", "--set", "runtime.progress=false"]


@pytest.fixture(scope="module")
def two_runs(
    tmp_path_factory: pytest.TempPathFactory, prefect_harness: None
) -> tuple[Path, list[str]]:
    """Return a store with two runs of preset `digits`, and the keys of their features."""
    store = tmp_path_factory.mktemp("runs") / "store"
    keys = []
    for limit in (6, 8):
        words = ["run", "digits", "--store", str(store), "--set", f"source.limit={limit}", *SET]
        assert main(words) == 0
        keys.append(ArtifactStore(store).refs.all()["digits/features"])
    return store, keys


def test_why_tells_the_fields_in_which_the_nearest_relative_differs(
    two_runs: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    store, (old, new) = two_runs
    assert main(["why", "digits/features", "--store", str(store)]) == 0
    assert capsys.readouterr().out == f"{new} is not {old} in:\n  rows: 2 new\n"


def test_why_says_when_there_is_no_relative(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "small/labels"]) == 0
    assert capsys.readouterr().out.endswith(f"is the only image-labels in {own_store}.\n")


def test_diff_counts_rows_and_tells_how_far_features_moved(
    two_runs: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    store, (old, new) = two_runs
    assert main(["diff", old, new, "--json", "--store", str(store)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows_added"], found["rows_gone"], found["rows_shared"]) == (2, 0, 6)
    assert found["moved"][0].startswith("vectors: cosine to the older one 1.000000 in the median")
    assert main(["diff", old, new, "--store", str(store)]) == 0
    assert "  rows: 2 new, 0 gone, 6 in both\n" in capsys.readouterr().out


def test_repair_remakes_what_runs_on_record_made_and_names_mean_what_they_meant(
    two_runs: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    store, (old, new) = two_runs
    held = ArtifactStore(store)
    names = held.refs.all()
    harm(held, old)  # its one part is the newer one's, too
    assert main(["verify", "--repair", "--store", str(store)]) == 0
    told = capsys.readouterr()
    assert f"damaged: {old}" in told.err
    assert f"damaged: {new}" in told.err
    assert "    what was made of it was damaged, and lies in quarantine\n" in told.err
    assert held.holds(old)
    assert held.refs.all() == names
    assert main(["verify", "--store", str(store)]) == 0


def test_repair_remakes_what_an_earlier_verify_has_quarantined(
    two_runs: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    store, (_, new) = two_runs
    held = ArtifactStore(store)
    harm(held, new)
    assert main(["verify", "--store", str(store)]) == 3
    assert "`featuremill verify --repair` remakes" in capsys.readouterr().out
    assert main(["verify", "--repair", "--store", str(store)]) == 0
    assert "dangling: digits/features: refers to" in capsys.readouterr().err
    assert held.holds(new)


def test_repair_names_a_damaged_draft_and_does_not_call_it_whole(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = own_store / "drafts" / "image-labels" / "image-labels-v1-0123456789abcdef" / "plan.json"
    plan.parent.mkdir(parents=True)
    plan.write_text("{")
    assert main(["verify", "--repair"]) == 3
    assert "not remade: draft image-labels-v1-0123456789abcdef" in capsys.readouterr().err


def test_what_no_run_on_record_made_is_named(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ArtifactStore(own_store)
    key = store.refs.all()["small/features"]
    harm(store, key)
    assert main(["verify", "--repair"]) == 3
    told = capsys.readouterr().err
    assert f"not remade: {key}. No run on record makes it; run its flow again." in told


def test_accept_publishes_under_the_present_key_and_lists_it(
    own_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ImageRecipe, "version", ImageRecipe.version + 1)
    assert main(["accept", "small/features", "--because", "only a log text", "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert ArtifactKey.parse(said["key"]).version == ImageRecipe.version
    assert main(["accept"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"{said['key']} is {said['instead']}, since ")
    assert line.endswith(": only a log text\n")


def test_accept_of_the_present_version_is_refused(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["accept", "small/features"]) == 2
    assert "there is nothing to accept" in capsys.readouterr().err


def harm(store: ArtifactStore, key: str) -> None:
    """Flip one bit of one file of an artifact."""
    victim = next(store.folder(key).rglob("features.h5"))
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.chmod(0o644)
    victim.write_bytes(data)
