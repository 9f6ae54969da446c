import json
from typing import Any

import pytest

from storage.errors import DamagedArtifact
from storage.manifest import MANIFEST, Manifest


def test_a_manifest_tells_recipe_inputs_rows_and_every_file(features: Any) -> None:
    making = features.making(range(4))
    manifest = features.store.manifest(features.make(range(4)).key)
    assert manifest.recipe == making.recipe.model_dump(mode="json")
    assert manifest.inputs == {"content": str(making.inputs["content"])}
    assert manifest.rows == 4
    assert manifest.digest.startswith(making.key.digest)
    assert len(manifest.files) == 6


def test_a_manifest_tells_how_the_artifact_came_about(features: Any) -> None:
    made = features.store.manifest(features.make([1]).key).made
    assert {"at", "part_seconds", "wall_seconds", "python", "system", "packages"} <= made.keys()


def test_where_there_is_none_there_is_none(features: Any) -> None:
    assert Manifest.read(features.store.path / "absent") is None


@pytest.mark.parametrize("change", [{"rows": 5}, {"blake3": "0" * 64}, {"extra": 1}])
def test_a_manifest_that_was_edited_is_damage(features: Any, change: dict[str, Any]) -> None:
    folder = features.store.path_of(features.make(range(4)))
    path = folder / MANIFEST
    path.chmod(0o644)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change, indent=1) + "\n")
    with pytest.raises(DamagedArtifact, match="has other bytes than were written"):
        Manifest.read(folder)


def test_a_manifest_is_refused_also_when_only_its_layout_was_changed(features: Any) -> None:
    folder = features.store.path_of(features.make([1]))
    path = folder / MANIFEST
    path.chmod(0o644)
    path.write_text(json.dumps(json.loads(path.read_bytes())))
    with pytest.raises(DamagedArtifact):
        Manifest.read(folder)
