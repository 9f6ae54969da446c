"""Driving and sealing: what is published, what resumes, and who loses a race."""

import json
import shutil
from collections import namedtuple
from typing import Any

import pytest

from storage.errors import DraftLost, IncompleteArtifact, NoSpace, StoreError
from storage.publishing import driving, seal

Usage = namedtuple("Usage", "total used free")


def test_what_is_published_is_not_driven_again(features: Any) -> None:
    features.make(range(5))
    with driving(features.store, features.making(range(5))) as draft:
        assert draft is None


def test_sealing_something_published_gives_its_handle(features: Any) -> None:
    artifact = features.make(range(5))
    assert seal(features.store, features.store.key_of(artifact)) == artifact


def test_a_resumed_run_makes_only_the_parts_that_are_missing(features: Any) -> None:
    features.draft(range(9), parts=2)
    features.encoded.clear()
    assert features.read(features.make(range(9))) == features.truth(range(9))
    assert features.encoded == [6, 7, 8]


def test_a_resumed_run_keeps_the_plan_when_other_parts_are_wanted_now(features: Any) -> None:
    features.draft(range(9), parts=2)
    features.part_rows = 5
    features.encoded.clear()
    features.make(range(9))
    assert features.encoded == [6, 7, 8]


def test_leftovers_of_the_dead_are_swept_and_not_published(features: Any) -> None:
    draft = features.draft(range(6), parts=1)
    torn = draft.parts / f".{draft.key}.00001.0badcafe.tmp"
    unsealed = draft.parts / f"{draft.key}.00001"
    for folder in (torn, unsealed):
        folder.mkdir()
        (folder / "tokens.h5").write_bytes(b"torn")
    artifact = features.make(range(6))
    assert features.read(artifact) == features.truth(range(6))
    assert not [*features.store.path_of(artifact).rglob("*.tmp")]


def test_a_draft_with_parts_missing_is_not_published_and_says_where_the_others_are(
    features: Any,
) -> None:
    draft = features.draft(range(9), parts=2)
    with pytest.raises(IncompleteArtifact, match=r"lacks 1 of 3 parts \(3 rows\)") as told:
        seal(features.store, draft.key)
    assert str(draft.path) in str(told.value)
    assert "run the same flow again" in str(told.value)


def test_sealing_what_nobody_drives_is_refused(features: Any) -> None:
    with pytest.raises(DraftLost, match="There is no draft of image-features-v1-"):
        seal(features.store, features.making([1]).key)


def test_an_orphan_that_seals_a_part_of_a_published_draft_loses(features: Any) -> None:
    orphan = features.draft(range(6), parts=1)
    artifact = features.make(range(6))
    with pytest.raises(DraftLost, match="another run published or removed it"):
        features.make_part(orphan, f"{orphan.key}.00001")
    assert features.read(artifact) == features.truth(range(6))


def test_an_orphan_loses_also_when_the_draft_is_published_while_it_writes(features: Any) -> None:
    draft = features.draft(range(3), parts=0)
    name = f"{draft.key}.00000"

    def publish_meanwhile_and_write() -> None:
        with draft.write_part(name) as writer:
            shutil.rmtree(draft.path)
            (writer.folder / "features.h5").write_bytes(b"late")

    with pytest.raises(DraftLost, match="what is published is reused"):
        publish_meanwhile_and_write()


def test_an_orphan_that_comes_second_leaves_the_sealed_part_alone(features: Any) -> None:
    draft = features.draft(range(3))
    name = f"{draft.key}.00000"
    before = {path: path.stat().st_ino for path in draft.parts.rglob("*")}
    features.make_part(draft, name)
    assert {path: path.stat().st_ino for path in draft.parts.rglob("*")} == before


def test_a_run_that_needs_more_than_is_free_does_not_begin(
    features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    making = features.making(range(9))
    costly = type(making)(making.recipe, making.inputs, making.rows, row_bytes=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**10, 0, 8 * 10**9))
    with (
        pytest.raises(
            NoSpace, match=r"about 9.0 GB for 9 rows, and [0-9.]+ MB to spare; .* has 8.0 GB free"
        ) as told,
        driving(features.store, costly, part_rows=3),
    ):
        raise AssertionError
    assert "name another store with --store" in str(told.value)


def test_rows_that_are_sealed_need_no_space_again(
    features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    features.draft(range(9), parts=2)
    making = features.making(range(9))
    costly = type(making)(making.recipe, making.inputs, making.rows, row_bytes=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**10, 0, 4 * 10**9))
    with driving(features.store, costly) as draft:
        assert draft is not None
        assert len(draft.pending()) == 1


def test_a_plan_that_was_changed_is_refused_before_anything_is_made(features: Any) -> None:
    draft = features.draft(range(6), parts=1)
    plan = draft.path / "plan.json"
    changed = json.loads(plan.read_bytes())
    changed["parts"][f"{draft.key}.00001"][0] = "f" * 64
    plan.write_text(json.dumps(changed))
    with pytest.raises(StoreError, match="its file was changed") as told:
        features.make(range(6))
    assert f"remove {draft.path} and run again" in str(told.value)


def test_a_plan_that_is_no_plan_is_refused(features: Any) -> None:
    draft = features.draft(range(6), parts=1)
    (draft.path / "plan.json").write_text("{")
    with pytest.raises(StoreError, match=r"plan.json is not a plan .* remove .* and run again"):
        features.make(range(6))


def test_a_part_that_was_damaged_in_the_draft_is_made_again(features: Any) -> None:
    draft = features.draft(range(6))
    (draft.parts / f"{draft.key}.00000" / "tokens.h5").write_bytes(b"")
    features.encoded.clear()
    assert features.read(features.make(range(6))) == features.truth(range(6))
    assert features.encoded == [0, 1, 2]


def test_an_artifact_of_no_rows_is_published(features: Any) -> None:
    assert features.make([]).rows == 0


def test_no_plan_is_left_in_what_is_published(features: Any) -> None:
    artifact = features.make(range(3))
    assert not (features.store.path_of(artifact) / "plan.json").exists()
    assert features.store.draft(features.store.key_of(artifact)) is None
