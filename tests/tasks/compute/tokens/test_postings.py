"""The compiled kernels, held to plain NumPy."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest

from tasks.compute.tokens import postings
from tasks.compute.tokens.kernels import bin_edges, half_table
from tasks.compute.tokens.postings import BadEntry, Pieces, Summary, gather_entries, part_entries

Array = np.ndarray[Any, Any]
Kept = Literal["f16", "f32"]


@dataclass(frozen=True, eq=False)
class Built(Summary):
    """A summary, with the entries that were given to be kept."""

    tokens: Array
    values: Array


def build(pieces: Pieces, **settings: Any) -> Built:
    """Return the postings of `pieces`."""
    parted = part_entries(pieces, **settings)
    kept: list[tuple[Array, Array]] = []
    found = gather_entries(parted, lambda *given: kept.append((given[0].copy(), given[1].copy())))
    tokens, values = (np.concatenate(column) for column in zip(*kept, strict=True))
    return Built(**vars(found), tokens=tokens, values=values)


def built(features: Array, values: Array, kept: Kept = "f16", n_features: int = 9) -> Built:
    """Return the postings of one segment."""
    return build(
        [(features, values)],
        count=1,
        n_features=n_features,
        k=features.shape[1],
        first_token=0,
        values=kept,
    )


def column(values: Array) -> tuple[Array, Array]:
    """Return the values as those of feature 0, one a token."""
    given = np.asarray(values, np.float32)[:, None]
    return np.zeros(given.shape, np.int32), given


def test_more_entries_than_32_bits_count_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fewer than 2\^32\. Set part_rows to at most 2047"):
        build([], count=2048, n_features=9, k=32, first_token=0, values="f16")


def test_float16_is_numpys_rounding_to_nearest_even() -> None:
    random = np.random.default_rng(0)
    bits = random.integers(1, 0x477FEFFF, 60_000).astype(np.int32)
    halves = np.arange(1, 0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    ties = (halves[:-1] + halves[1:]) / 2
    for values in (bits.view(np.float32), ties, np.nextafter(ties, np.float32(0)), halves):
        wanted = values.astype(np.float16)
        kept = wanted > 0  # smaller ones are kept as the smallest: active stays active
        found = built(*column(values)).values
        np.testing.assert_array_equal(found[kept], wanted[kept])
        assert (found[~kept].view(np.uint16) == 1).all()


def test_float32_is_kept_to_the_bit() -> None:
    values = np.random.default_rng(1).integers(1, 0x7F7FFFFF, 5000).astype(np.int32)
    found = built(*column(values.view(np.float32)), kept="f32").values
    np.testing.assert_array_equal(found.view(np.int32), values)


@pytest.mark.parametrize("kept", ["f16", "f32"])
def test_every_value_is_in_the_bin_whose_edges_hold_it(kept: Kept) -> None:
    random = np.random.default_rng(2)
    values = np.exp(random.uniform(-17, 11, 20_000)).astype(np.float16).astype(np.float32)
    values = np.concatenate([values[np.isfinite(values) & (values > 0)], [65504, 2.0**-15]])
    values = values.astype(np.float32)
    wanted = np.bincount(np.searchsorted(bin_edges(), values, side="right") - 1, minlength=64)
    np.testing.assert_array_equal(built(*column(values), kept=kept).histogram[0], wanted)


def test_the_table_of_halves_is_numpys() -> None:
    assert half_table()[0x3C00] == 1.0
    assert np.isnan(half_table()[0x7E00])


@pytest.mark.parametrize("kept", ["f16", "f32"])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 3000])
def test_the_strongest_are_those_of_a_sort(kept: Kept, count: int) -> None:
    values = np.random.default_rng(3).integers(1, 40, count).astype(np.float32)
    top = built(*column(values), kept=kept).top[0]
    wanted = np.lexsort((np.arange(count), -values))[:64]
    tokens = 0xFFFFFFFF - (top[: len(wanted)] & np.uint64(0xFFFFFFFF))
    np.testing.assert_array_equal(tokens.astype(np.int64), wanted)
    assert (top[len(wanted) :] == 0).all()


@pytest.mark.parametrize("kept", ["f16", "f32"])
@pytest.mark.parametrize("lowest", [-40, -14, 3])
def test_the_strongest_are_found_among_values_of_any_size(kept: Kept, lowest: int) -> None:
    random = np.random.default_rng(6)
    values = np.exp2(random.uniform(lowest, lowest + 9, 4000)).astype(np.float32)
    values[random.integers(0, 4000, 300)] = values.max()  # more equals than there is room for
    values[random.integers(0, 4000, 280)] = values.min()
    found = built(*column(values), kept=kept)
    wanted = np.lexsort((np.arange(4000), -found.values.astype(np.float64)))[:64]
    tokens = 0xFFFFFFFF - (found.top[0] & np.uint64(0xFFFFFFFF))
    np.testing.assert_array_equal(tokens.astype(np.int64), wanted)


def test_equal_values_rank_by_token() -> None:
    top = built(*column(np.ones(1000, np.float32))).top[0]
    tokens = 0xFFFFFFFF - (top & np.uint64(0xFFFFFFFF))
    np.testing.assert_array_equal(tokens.astype(np.int64), np.arange(64))


def test_no_active_entry_makes_empty_postings() -> None:
    found = built(*column(np.array([0, -1, -0.0], np.float32)))
    assert len(found.tokens) == len(found.values) == 0
    assert not found.offsets.any()
    assert not found.top.any()


@pytest.mark.parametrize(
    ("features", "values", "fault"),
    [([[9, 0]], [[1, 1]], 1), ([[0, 1]], [[1, np.nan]], 2), ([[0, 1]], [[65520, 1]], 3),
     ([[4, 4]], [[1, 2]], 4), ([[4, 4]], [[0, 2]], 4)],
)  # fmt: skip
def test_faults_are_told_with_their_token(
    features: list[list[int]], values: list[list[float]], fault: int
) -> None:
    good, ones = [[0, 1]] * 5, [[1.0, 1.0]] * 5
    with pytest.raises(BadEntry) as caught:
        built(np.array(good + features, np.int32), np.array(ones + values, np.float32))
    assert (caught.value.fault, caught.value.token) == (fault, 5)


def test_a_token_listed_twice_over_parted_blocks_is_told_and_neighbours_are_not() -> None:
    features = np.zeros((70_000, 2), np.int32)
    features[:, 1] = 1 + np.arange(70_000) % 100  # two buckets, 35 blocks, two segments
    values = np.ones(features.shape, np.float32)
    whole = [(features[:65_536], values[:65_536]), (features[65_536:], values[65_536:])]
    found = build(whole, count=2, n_features=101, k=2, first_token=0, values="f16")
    assert found.offsets[[1, 2]].tolist() == [65_536, 70_000]
    features[69_999, 1] = 0
    with pytest.raises(BadEntry) as caught:
        build(whole, count=2, n_features=101, k=2, first_token=0, values="f16")
    assert (caught.value.fault, caught.value.token) == (4, 69_999)


def test_the_same_offset_in_two_segments_is_no_repeat() -> None:
    features, values = np.zeros((65_537, 1), np.int32), np.zeros((65_537, 1), np.float32)
    values[0] = values[65_536] = 1
    whole = [(features[:65_536], values[:65_536]), (features[65_536:], values[65_536:])]
    found = build(whole, count=2, n_features=1, k=1, first_token=0, values="f32")
    assert found.tokens.tolist() == [0, 0]
    assert found.offsets.tolist() == [0, 1, 2]


@pytest.mark.parametrize("n_features", [64, 65, 200])
@pytest.mark.parametrize("room", [1, 20_000, 1 << 18])
def test_postings_are_those_of_a_stable_sort_whatever_the_buckets_and_the_room(
    monkeypatch: pytest.MonkeyPatch, n_features: int, room: int
) -> None:
    monkeypatch.setattr(postings, "_ROOM_ENTRIES", room)
    random = np.random.default_rng(5)
    features = np.argsort(random.random((5000, n_features)), axis=1)[:, :7].astype(np.int32)
    values = random.integers(-2, 9, features.shape).astype(np.float32)
    found = built(features, values, n_features=n_features)
    active = values.ravel() > 0
    order = np.argsort(features.ravel()[active], kind="stable")
    tokens = np.repeat(np.arange(5000), 7)[active][order]
    np.testing.assert_array_equal(found.tokens, tokens)
    np.testing.assert_array_equal(found.values, values.ravel()[active][order])
    counts = np.bincount(features.ravel()[active], minlength=n_features)
    np.testing.assert_array_equal(np.diff(found.offsets), counts)
    np.testing.assert_array_equal(found.histogram.sum(axis=1), counts)
