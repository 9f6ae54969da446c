import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conf.errors import RecipeError
from conf.images import ImageRecipe
from conf.keys import ArtifactKey
from conf.labels import LabelRecipe
from storage.accepting import accept, accepted
from storage.catalog import Catalog
from storage.open import open_artifact
from storage.relatives import explain
from storage.store import Artifact, ArtifactStore
from storage.verify import verify


@pytest.fixture
def store(own_store: Path) -> ArtifactStore:
    return ArtifactStore(own_store)


@pytest.fixture
def raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the code of image features and labels be one version newer than what is stored."""
    monkeypatch.setattr(ImageRecipe, "version", ImageRecipe.version + 1)
    monkeypatch.setattr(LabelRecipe, "version", LabelRecipe.version + 1)


def stored(store: ArtifactStore, name: str) -> Artifact:
    return store.resolve(f"small/{name}")


@pytest.mark.usefixtures("raised")
def test_what_is_accepted_is_what_a_run_of_the_present_code_would_reuse(
    store: ArtifactStore,
) -> None:
    older = stored(store, "features")
    manifest = store.manifest(older.key)
    found = accept(store, older, "only the log text changed")
    recipe = ImageRecipe.model_validate(manifest.recipe)
    inputs = {name: ArtifactKey.parse(key) for name, key in manifest.inputs.items()}
    assert found.key == str(recipe.key(**inputs)) != older.key
    mine, theirs = open_artifact(found, store), open_artifact(older, store)
    assert mine.contents == theirs.contents
    np.testing.assert_array_equal(mine.pooled(), theirs.pooled())
    np.testing.assert_array_equal(mine.tokens(), theirs.tokens())
    assert all(finding.is_whole for finding in verify(store))


@pytest.mark.usefixtures("raised")
def test_the_declaration_is_on_record(store: ArtifactStore) -> None:
    older = stored(store, "features")
    found = accept(store, older, "only the log text changed")
    (said,) = accepted(store)
    assert (said.key, said.instead, said.because) == (
        found.key,
        older.key,
        "only the log text changed",
    )
    assert store.manifest(found.key).made["accepted_from"] == older.key
    path = store.path / "accepted" / f"{found.key}.json"
    assert json.loads(path.read_text())["instead"] == older.key


@pytest.mark.usefixtures("raised")
def test_what_was_made_of_it_is_accepted_by_its_present_inputs(store: ArtifactStore) -> None:
    features = accept(store, stored(store, "features"), "")
    labels = accept(store, stored(store, "labels"), "")
    assert store.manifest(labels.key).inputs["images"] == features.key
    assert open_artifact(labels, store).equals(open_artifact("small/labels", store))
    older, now = stored(store, "labels").key, LabelRecipe.version
    assert explain(Catalog(store), labels.key, older) == [
        f"version: {now}, was {now - 1}",
        f"images: {features.key}, was {stored(store, 'features').key}",
        f"  version: {ImageRecipe.version}, was {ImageRecipe.version - 1}",
    ]


def test_what_is_of_the_present_version_needs_no_accepting(store: ArtifactStore) -> None:
    with pytest.raises(RecipeError, match=r"is of the present version of its kind: there is noth"):
        accept(store, stored(store, "features"), "")
    assert not accepted(store)


def test_a_recipe_that_changed_is_no_matter_of_versions(store: ArtifactStore) -> None:
    older = stored(store, "labels")
    manifest, folder = store.manifest(older.key), store.path_of(older)
    (folder / "manifest.json").chmod(0o644)
    replace(manifest, recipe=dict(manifest.recipe) | {"odd": 1}).write(folder)
    with pytest.raises(RecipeError, match="does not fit the present one of its kind") as told:
        accept(store, older, "")
    assert "odd" in str(told.value)
    assert not accepted(store)
