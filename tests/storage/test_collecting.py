import os
import time
from pathlib import Path
from typing import Any

import pytest

from conf.images import ImageRecipe
from storage.accepting import accept
from storage.atomic import exclusive
from storage.collecting import collect, freed_bytes, garbage
from storage.errors import StoreInUse
from storage.runs import Runs
from storage.store import Artifact, ArtifactStore


def names(store: ArtifactStore, keep_runs: int = 1, draft_days: float = 1) -> set[str]:
    return {one.name for one in garbage(store, keep_runs=keep_runs, draft_days=draft_days)}


def record(store: ArtifactStore, name: str, *artifacts: Artifact) -> None:
    runs = Runs(store.path)
    with runs.recording(name, "images", {}, {}) as run:
        runs.end(run, [{"key": artifact.key} for artifact in artifacts])


def age(path: Path, days: float) -> None:
    for place in (path, path / "parts"):
        os.utime(place, (time.time() - days * 86_400,) * 2)


def test_what_nothing_names_may_go_and_what_has_a_name_stays(features: Any) -> None:
    kept, lost = features.make([1]), features.make([2])
    features.store.refs.set("paper/figure-2", kept.key)
    assert names(features.store) == {lost.key}
    features.store.refs.remove("paper/figure-2")
    assert names(features.store) == {kept.key, lost.key}


def test_the_last_runs_of_each_name_keep_theirs(features: Any) -> None:
    first, second, third = (features.make([number]) for number in (1, 2, 3))
    record(features.store, "digits", first)
    record(features.store, "digits", second)
    record(features.store, "photos", third)
    assert names(features.store, keep_runs=1) == {first.key}
    assert not names(features.store, keep_runs=2)
    assert names(features.store, keep_runs=0) == {first.key, second.key, third.key}


def test_what_a_kept_artifact_was_made_of_is_kept(own_store: Path) -> None:
    store = ArtifactStore(own_store)
    refs = store.refs.all()
    for name in refs:
        store.refs.remove(name)
    assert len(names(store)) == len(store.published())
    store.refs.set("mine", refs["small/labels"])
    assert not names(store), "labels need features and prompts; features need their ledger"
    store.refs.remove("mine")
    store.refs.set("mine", refs["small/features"])
    assert names(store) == {refs["small/labels"], refs["small/prompts"]}


def test_what_was_accepted_stays_as_long_as_what_it_stands_for(
    own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(own_store)
    monkeypatch.setattr(ImageRecipe, "version", ImageRecipe.version + 1)
    found = accept(store, store.resolve("small/features"), "only the log text changed")
    assert not names(store), "no run has named it yet"
    store.refs.remove("small/features")
    store.refs.remove("small/labels")
    assert found.key in names(store)


def test_collecting_removes_what_was_listed_and_nothing_else(features: Any) -> None:
    kept, lost = features.make([1, 2, 3, 4]), features.make([5, 6])
    features.store.refs.set("kept", kept.key)
    removed = collect(features.store, keep_runs=1, draft_days=1)
    assert [one.name for one in removed] == [lost.key]
    assert [str(key) for key in features.store.published()] == [kept.key]
    assert not (features.store.path / "trash").exists()
    assert features.make([5, 6]).key == lost.key, "what was collected can be made again"


def test_bytes_that_are_shared_by_hard_link_are_not_freed(features: Any) -> None:
    small, large = features.make([1, 2, 3]), features.make([1, 2, 3, 4])
    features.store.refs.set("kept", large.key)
    (one,) = garbage(features.store, keep_runs=0, draft_days=1)
    assert one.name == small.key
    own = sum(
        p.stat().st_size for p in one.path.rglob("*") if p.is_file() and p.stat().st_nlink == 1
    )
    assert 0 < freed_bytes([one]) == own < one.size_bytes


def test_a_forgotten_draft_may_go_a_fresh_one_and_one_in_use_stay(features: Any) -> None:
    features.draft([1, 2, 3, 4], parts=1)
    features.draft([5, 6, 7, 8], parts=1)
    old, fresh = features.store.drafts()
    age(old.path, days=2)
    assert names(features.store) == {str(old.key)}
    with exclusive(features.store.lock_path(old.key)):
        assert not names(features.store)
    collect(features.store, keep_runs=1, draft_days=1)
    assert [draft.key for draft in features.store.drafts()] == [fresh.key]


def test_nothing_is_collected_while_a_run_is_at_work(features: Any) -> None:
    lost = features.make([1])
    with (
        Runs(features.store.path).recording("digits", "images", {}, {}),
        pytest.raises(
            StoreInUse, match=r"A run is at work in .*Nothing was removed; collect again"
        ),
    ):
        collect(features.store, keep_runs=1, draft_days=1)
    assert [str(key) for key in features.store.published()] == [lost.key]
