from typing import Any

from storage.catalog import Catalog


def keys_in(features: Any) -> set[str]:
    return {entry.key for entry in Catalog(features.store).entries()}


def test_the_catalog_takes_up_what_is_published_and_drops_what_went_away(features: Any) -> None:
    first, second = features.make([1]), features.make([2])
    assert keys_in(features) == {first.key, second.key}
    features.store.quarantine(features.store.key_of(first), "a test wants it gone")
    assert keys_in(features) == {second.key}


def test_an_entry_tells_rows_bytes_and_seconds(features: Any) -> None:
    artifact = features.make(range(4))
    (entry,) = Catalog(features.store).entries()
    assert (entry.kind, entry.rows) == ("image-features", 4)
    assert entry.size_bytes == features.store.manifest(artifact.key).size_bytes
    assert entry.seconds > 0


def test_an_entry_tells_what_the_manifest_does(features: Any) -> None:
    manifest = features.store.manifest(features.make([1]).key)
    (entry,) = Catalog(features.store).entries()
    assert (entry.recipe, entry.inputs) == (manifest.recipe, manifest.inputs)
    assert (entry.made, entry.family) == (manifest.made, manifest.family)


def test_a_catalog_that_is_lost_or_damaged_is_rebuilt(features: Any) -> None:
    artifact = features.make([1])
    path = Catalog(features.store).path
    keys_in(features)
    path.write_bytes(b"no database, not any more")
    assert keys_in(features) == {artifact.key}
    path.unlink()
    assert keys_in(features) == {artifact.key}


def test_an_artifact_with_a_damaged_manifest_does_not_hide_the_others(features: Any) -> None:
    sound, harmed = features.make([1]), features.make([2])
    path = features.store.path_of(harmed) / "manifest.json"
    path.chmod(0o644)
    path.write_bytes(b"{")
    assert keys_in(features) == {sound.key}


def test_a_catalog_that_looks_once_tells_one_state_of_the_store(features: Any) -> None:
    first = features.make([1])
    catalog = Catalog(features.store, look_once=True)
    (entry,) = catalog.entries("image-features")
    second = features.make([2])
    assert [one.key for one in catalog.entries()] == [entry.key] == [first.key]
    assert [str(key) for key in catalog.family(entry.kind, entry.family)] == [first.key]
    assert not catalog.entries("prompt-features")
    assert not catalog.family(entry.kind, "another")
    family = Catalog(features.store, look_once=True).family(entry.kind, entry.family)
    assert {str(key) for key in family} == {first.key, second.key}
