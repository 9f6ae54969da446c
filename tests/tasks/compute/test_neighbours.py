from collections import Counter

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from tasks.compute.neighbours import neighbour_accuracy

DRAW = np.random.default_rng(0)


def by_hand(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray, neighbours: int
) -> float:
    right = 0
    for row, expected in zip(test, truth, strict=True):
        cosines = train @ row / np.linalg.norm(train, axis=1) / np.linalg.norm(row)
        votes = Counter(labels[np.argsort(-cosines)[:neighbours]].tolist())
        right += max(votes, key=lambda label: votes[label]) == expected
    return right / len(test)


@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_the_share_is_the_one_a_vote_by_hand_gives(neighbours: int) -> None:
    train, test = (DRAW.normal(size=(n, 6)).astype(np.float32) for n in (60, 40))
    labels, truth = (DRAW.integers(0, 2, n) for n in (60, 40))
    found = neighbour_accuracy(train, labels, test, truth, neighbours)
    assert found == by_hand(train, labels, test, truth, neighbours)


def test_lengths_play_no_part_only_directions() -> None:
    train = np.array([[100, 0], [0, 0.01]], np.float32)
    test = np.array([[0.5, 0.1], [0.1, 0.5]], np.float32)
    assert neighbour_accuracy(train, np.array([7, 8]), test, np.array([7, 8]), 1) == 1.0


def test_a_label_for_every_row_is_an_error_under_test() -> None:
    rows = np.ones((3, 2), np.float32)
    with pytest.raises(TypeCheckError):
        neighbour_accuracy(rows, np.array([1, 2]), rows, np.array([1, 2, 3]), 1)
