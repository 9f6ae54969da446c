from typing import Any

import numpy as np
import pytest

from storage.errors import DamagedArtifact, IncompleteArtifact, UnknownArtifact
from storage.images import ImageFeatures, write_part
from storage.open import open_artifact
from storage.publishing import driving, seal


@pytest.fixture
def reader(features: Any) -> ImageFeatures:
    return ImageFeatures(features.store, features.make(range(8)))


def contents(features: Any, *numbers: int) -> tuple[str, ...]:
    return tuple(features.making(numbers).rows)


def test_rows_are_read_by_content_in_any_order_and_across_parts(
    features: Any, reader: ImageFeatures
) -> None:
    wanted = contents(features, 7, 0, 4, 4)
    assert reader.pooled(wanted)[:, 0].tolist() == [7, 0, 4, 4]
    assert reader.tokens(wanted)[:, 0, 0].tolist() == [7.5, 0.5, 4.5, 4.5]


def test_without_contents_all_rows_come_in_the_order_of_the_parts(reader: ImageFeatures) -> None:
    assert reader.pooled()[:, 0].tolist() == [*range(8)]
    assert reader.pooled().dtype == np.float16


def test_a_content_that_was_never_encoded_is_refused(features: Any, reader: ImageFeatures) -> None:
    with pytest.raises(UnknownArtifact, match=r"has no features of content [0-9a-f]{12}\.\.\."):
        reader.pooled(contents(features, 50))


def test_a_cut_part_is_refused_when_it_is_read(features: Any, reader: ImageFeatures) -> None:
    cut = sorted(reader.path.glob("parts/*/tokens.h5"))[1]
    cut.chmod(0o644)
    cut.write_bytes(cut.read_bytes()[:-1])
    assert reader.tokens(contents(features, 0)).shape[0] == 1
    with pytest.raises(DamagedArtifact, match="`featuremill verify` quarantines it"):
        reader.tokens(contents(features, 4))


def test_parts_of_two_models_under_one_recipe_are_not_published(features: Any) -> None:
    making = features.making(range(6))
    with driving(features.store, making, part_rows=3) as draft:
        assert draft is not None
        for name, fingerprint in zip(draft.pending(), ("one", "another"), strict=True):
            with draft.write_part(name) as writer:
                rows = draft.rows_of(name)
                pooled, tokens = np.ones((3, 8), np.float16), np.ones((3, 4, 8), np.float16)
                write_part(writer, rows, pooled, tokens, fingerprint)
    with pytest.raises(IncompleteArtifact, match="made by 2 different models"):
        seal(features.store, making.key)


def test_open_artifact_takes_a_handle_a_key_or_a_reference(features: Any) -> None:
    artifact = features.make([3])
    features.store.refs.set("demo/three", artifact.key)
    for name in (artifact, artifact.key, "demo/three"):
        opened = open_artifact(name, features.store)
        assert opened.pooled()[:, 0].tolist() == [3]


def test_open_artifact_takes_the_store_by_its_directory(features: Any) -> None:
    artifact = features.make([3])
    assert open_artifact(artifact.key, features.store.path).contents == contents(features, 3)
