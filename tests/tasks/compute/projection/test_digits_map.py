"""What is seen on a map of real digits is also there in the features."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from conf.projection import TsneMethod
from tasks.compute.projection.embed import Scene, embed, neighbours_wanted
from tasks.compute.projection.graph import nearest_neighbours
from tasks.compute.projection.pca import fit_pca


@pytest.fixture(scope="module")
def accuracies() -> tuple[float, float]:
    """Return how well 5 neighbours name a digit, in the features and on the map."""
    found = load_digits()
    vectors, truth = found.data.astype(np.float32)[:600], found.target[:600]
    points = fit_pca(vectors, 50).scores(vectors)
    settings = TsneMethod()
    near = nearest_neighbours(points, neighbours_wanted("tsne", settings))
    coords = embed("tsne", Scene(points, near, seed=0), settings).coords
    judge = KNeighborsClassifier(5)
    features, on_map = (
        float(cross_val_score(judge, rows, truth, cv=5).mean()) for rows in (vectors, coords)
    )
    return features, on_map


def test_five_neighbours_on_the_map_name_digits_as_well_as_in_the_features(
    accuracies: tuple[float, float],
) -> None:
    features, on_map = accuracies
    assert features > 0.9
    assert on_map >= 0.9 * features
