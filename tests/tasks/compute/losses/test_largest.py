"""The k largest of a row: the very anchors that `torch.topk` takes, whatever is equal."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tasks.compute.losses.kernels.largest import largest, row_room
from tasks.compute.losses.kernels.select import heap_select, move_largest

LENGTHS = (84, 189, 336, 640, 1344, 2100)
"""Anchors of squares of 64 to 320 px, and where the way of searching changes for ten of them."""
COUNTS = (1, 7, 10, 21)


def chosen(metric: NDArray[np.float32], anchors: NDArray[np.int32], k: int, total: int) -> set[int]:
    room = row_room(k, total)
    values, places = np.zeros(room, np.float32), np.zeros(room, np.int64)
    largest(metric, anchors, 0, len(anchors), k, total, values, places)
    return {int(anchors[place]) for place in places[:k] if place >= 0}


def stock(metric: NDArray[np.float32], anchors: NDArray[np.int32], k: int, total: int) -> set[int]:
    row = np.zeros(total, np.float32)
    row[anchors] = metric
    return set(torch.topk(torch.from_numpy(row), k).indices.tolist()) & set(anchors.tolist())


@pytest.mark.parametrize("total", LENGTHS)
def test_equal_entries_are_chosen_as_the_stock_top_k_chooses(total: int) -> None:
    random = np.random.default_rng(total)
    ambiguous = 0
    for trial in range(200):
        anchors = np.sort(random.choice(total, random.integers(0, total), replace=False))
        levels = (1, 2, 4, 1000)[trial % 4]  # few levels: many are equal
        metric = random.integers(0, levels, len(anchors)).astype(np.float32)
        k = COUNTS[trial // 4 % 4]
        given = metric, anchors.astype(np.int32), k, total
        assert chosen(*given) == stock(*given), (trial, k)
        kth = np.sort(metric)[-k] if len(metric) >= k else 0
        ambiguous += int((metric == kth).sum()) > 1
    assert ambiguous > 100, "the rows leave nothing to choose"


def test_pivots_that_halve_nothing_end_in_a_heap() -> None:
    """Rows made for the median of three to fail: the k largest are found all the same."""
    half = 300
    killer = np.zeros(2 * half + 1, np.float32)
    for step in range(1, half + 1):
        if step % 2:
            killer[step], killer[step + 1] = step, half + step
        killer[half + step] = 2 * step
    for row in (-killer[1:], killer[1:], -killer[::-1], killer[::-1]):
        values, places = row.copy(), np.arange(len(row))
        move_largest(values, places, len(row), 10)
        np.testing.assert_array_equal(np.sort(values[:10]), np.sort(row)[-10:])
        np.testing.assert_array_equal(values, row[places])


def test_a_heap_has_the_largest_of_a_stretch_and_nothing_else_is_touched() -> None:
    row = np.random.default_rng(0).permutation(50).astype(np.float32)
    values, places = row.copy(), np.arange(50)
    heap_select(values, places, 10, 5, 40)
    np.testing.assert_array_equal(np.sort(values[10:15]), np.sort(row[10:40])[-5:])
    np.testing.assert_array_equal(values, row[places])
    np.testing.assert_array_equal(values[:10], row[:10])
    np.testing.assert_array_equal(values[40:], row[40:])
