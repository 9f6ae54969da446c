"""The store: what is one, what is in it, and whose it is."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conf.keys import ArtifactKey
from storage.errors import StoreError, UnknownArtifact
from storage.store import Artifact, ArtifactStore


def test_an_absent_or_empty_directory_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent/below"):
        assert len(ArtifactStore(tmp_path / name).uuid) == 32


def test_a_store_keeps_its_uuid(tmp_path: Path) -> None:
    assert ArtifactStore(tmp_path).uuid == ArtifactStore(tmp_path).uuid


def test_a_founding_that_was_killed_does_not_bar_the_directory(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / ".store.json.0badcafe.tmp").write_bytes(b"")
    assert ArtifactStore(tmp_path).uuid


def test_a_directory_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"is no artifact store: it has no store\.json") as told:
        ArtifactStore(tmp_path)
    assert "an absent or empty one becomes a store" in str(told.value)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_reading_founds_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"it has no store\.json"):
        ArtifactStore(tmp_path / "absent", create=False)
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(("number", "who"), [(0, "the version that wrote it"), (2, "a newer")])
def test_a_store_of_another_format_is_refused_and_who_can_read_it_told(
    tmp_path: Path, number: int, who: str
) -> None:
    (tmp_path / "store.json").write_text(json.dumps({"format": number, "uuid": "x"}))
    found = f"is a store of format {number}, this version reads format 1"
    with pytest.raises(StoreError, match=f"{found}. Nothing in it was touched: {who}"):
        ArtifactStore(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": "1"}'])
def test_a_card_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(StoreError, match=r"has a store\.json that is not one"):
        ArtifactStore(tmp_path)


def test_an_artifact_of_another_store_is_refused(features: Any, tmp_path: Path) -> None:
    artifact = features.make([1])
    other = ArtifactStore(tmp_path / "other")
    with pytest.raises(StoreError, match=r"was made in another store than .*other") as told:
        other.path_of(artifact)
    assert "FEATUREMILL_STORE" in str(told.value)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Let the owner's permissions bind this process, whoever it runs as."""
    if os.geteuid() != 0:
        yield
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    held = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, held) == 0
    fewer = (ctypes.c_uint32 * 6)(*held)
    fewer[0] &= ~0b110  # not to override permissions: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, fewer) == 0
    yield
    assert libc.capset(header, held) == 0


@pytest.fixture
def read_only(features: Any, unprivileged: None) -> Iterator[Any]:
    """Return `features` in a store that holds rows 0 to 4 and cannot be written to."""
    features.make(range(5))
    root = features.store.path
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    locks = [path for path in (root / "locks").iterdir()]
    for path in (*folders, *locks):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield features
    for path in (*folders, *locks):
        path.chmod(0o755)


def test_a_read_only_store_can_be_read(read_only: Any) -> None:
    assert read_only.read(read_only.make(range(5))) == read_only.truth(range(5))


def test_nothing_can_be_made_in_a_read_only_store_and_it_says_so(read_only: Any) -> None:
    with pytest.raises(StoreError, match="nothing can be written there: Permission denied") as told:
        read_only.make(range(6))
    assert "Make the store writable, or name another with --store." in str(told.value)


def test_a_store_cannot_be_founded_where_nothing_can_be_written(
    tmp_path: Path, unprivileged: None
) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(StoreError, match="cannot become a store: Permission denied"):
        ArtifactStore(tmp_path / "closed" / "store")


# Finding


def test_what_was_never_made_is_not_found(store: ArtifactStore) -> None:
    assert store.find(ArtifactKey("dataset", 1, "0" * 16)) is None


def test_an_artifact_is_found_by_key_by_the_start_of_it_and_by_reference(features: Any) -> None:
    artifact = features.make([1])
    features.store.refs.set("demo/ones", artifact.key)
    for name in (artifact.key, artifact.key[:20], "demo/ones"):
        assert features.store.resolve(name) == artifact


def test_a_start_that_several_keys_share_is_not_taken_for_one(features: Any) -> None:
    features.make([1])
    features.make([2])
    with pytest.raises(UnknownArtifact, match=r"is the start of 2 keys: .* Write more of it"):
        features.store.resolve("image")


def test_an_unknown_name_is_answered_with_the_nearest(features: Any) -> None:
    features.store.refs.set("demo/ones", features.make([1]).key)
    with pytest.raises(UnknownArtifact, match="Did you mean 'demo/ones'\\? `featuremill ls`"):
        features.store.resolve("demo/one")


def test_in_an_empty_store_an_unknown_name_is_told_so(store: ArtifactStore) -> None:
    with pytest.raises(UnknownArtifact, match="The store is empty"):
        store.resolve("demo")


def test_a_handle_tells_kind_key_rows_and_store(features: Any) -> None:
    key = str(features.making(range(4)).key)
    expected = Artifact(kind="image-features", key=key, rows=4, store=features.store.uuid)
    assert features.make(range(4)) == expected


def test_drafts_are_listed_until_they_are_published(features: Any) -> None:
    draft = features.draft(range(6), parts=1)
    assert [one.key for one in features.store.drafts()] == [draft.key]
    features.make(range(6))
    assert features.store.drafts() == []


def test_artifacts_of_one_recipe_are_a_family_whatever_their_rows(features: Any) -> None:
    keys = {features.store.key_of(features.make(rows)) for rows in ([1], [2])}
    family = features.making([3]).family
    assert set(features.store.family("image-features", family)) == keys
