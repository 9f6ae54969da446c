"""An index says what the seed's own functions say of the file it was made of."""

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.tokens import SEGMENT_TOKENS, FilesSource, Values
from storage.store import ArtifactStore
from storage.tokens import TokenIndex
from tasks.compute.tokens.postings import part_entries
from tasks.tokens import indexing

Files = Callable[..., FilesSource]
Index = Callable[..., TokenIndex]
Entries = Callable[..., Any]
FEATURES = 50


@pytest.fixture(scope="module")
def interleaved(
    files_of: Files, entries: Entries, tmp_path_factory: pytest.TempPathFactory
) -> FilesSource:
    """Return a file of 3,000 tokens whose reviews are interleaved, some of one token."""
    features, values = entries(3000, 4, FEATURES - 5)  # the last five are never active
    reviews = np.random.default_rng(1).integers(0, 90, 3000)
    reviews[::50] = np.arange(90, 150)
    return files_of(tmp_path_factory.mktemp("files"), features, values, reviews)


@pytest.fixture(scope="module")
def index(
    interleaved: FilesSource, index_of: Index, tmp_path_factory: pytest.TempPathFactory
) -> TokenIndex:
    """Return the index over it."""
    return index_of(interleaved, tmp_path_factory.mktemp("index") / "store", FEATURES)


def test_every_activation_is_the_seeds(
    index: TokenIndex, interleaved: FilesSource, opened: Any, seed: types.SimpleNamespace
) -> None:
    random = np.random.default_rng(2)
    with opened(interleaved) as file:
        for token, feature in zip(
            random.integers(0, 3000, 500), random.integers(0, FEATURES, 500), strict=True
        ):
            theirs = seed.get_feature_activation(file, token, feature)
            assert index.get_feature_activation(int(token), int(feature)) == max(theirs, 0.0)


@pytest.mark.parametrize(("start", "end"), [(0, 3000), (17, 1700), (2999, 3000), (5, 5)])
def test_every_chunk_is_the_seeds(
    index: TokenIndex,
    interleaved: FilesSource,
    opened: Any,
    seed: types.SimpleNamespace,
    start: int,
    end: int,
) -> None:
    with opened(interleaved) as file:
        for feature in (0, 7, 44, 45, 49):
            theirs = seed.get_feature_activations_chunk(file, feature, start, end)
            ours = index.get_feature_activations_chunk(feature, start, end)
            assert ours.dtype == np.float32
            np.testing.assert_array_equal(ours, np.maximum(theirs, 0))


def test_the_position_map_is_the_seeds(
    index: TokenIndex, interleaved: FilesSource, opened: Any, seed: types.SimpleNamespace
) -> None:
    with opened(interleaved) as file:
        theirs = seed.review_token_positions(file)
    ours = {name: index.reviews.review_token_positions(name) for name in index.reviews.ids}
    assert ours == theirs


def test_every_token_knows_its_review_and_its_place_in_it(
    index: TokenIndex, interleaved: FilesSource, opened: Any, seed: types.SimpleNamespace
) -> None:
    with opened(interleaved) as file:
        theirs = seed.review_token_positions(file)
    tokens = np.arange(3000)
    names = index.reviews.ids[index.reviews.positions.reviews_of(tokens)]
    places = index.reviews.positions.local_positions(tokens)
    for token in range(3000):
        assert theirs[names[token]].index(token) == places[token]


def dense(index: TokenIndex, file: Any, seed: types.SimpleNamespace, feature: int) -> Any:
    return np.maximum(seed.get_feature_activations_chunk(file, feature, 0, index.n_tokens), 0)


@pytest.mark.parametrize("count", [1, 10, 64, 65, 200, None])
def test_ranked_is_value_descending_then_token_ascending(
    index: TokenIndex,
    interleaved: FilesSource,
    opened: Any,
    seed: types.SimpleNamespace,
    count: int | None,
) -> None:
    with opened(interleaved) as file:
        for feature in (0, 7, 44, 47):
            values = dense(index, file, seed, feature)
            active = np.flatnonzero(values)
            wanted = active[np.lexsort((active, -values[active]))][:count]
            tokens, found = index.ranked(feature, count)
            np.testing.assert_array_equal(tokens, wanted)
            np.testing.assert_array_equal(found, values[wanted])


def test_one_per_review_keeps_the_strongest_of_each(index: TokenIndex) -> None:
    tokens, values = index.ranked(3)
    reviews = index.reviews.positions.reviews_of(tokens).tolist()
    firsts = [place for place, review in enumerate(reviews) if review not in reviews[:place]]
    ours = index.ranked(3, 20, one_per_review=True)
    np.testing.assert_array_equal(ours[0], tokens[firsts][:20])
    np.testing.assert_array_equal(ours[1], values[firsts][:20])


def test_statistics_are_those_of_the_dense_values(
    index: TokenIndex, interleaved: FilesSource, opened: Any, seed: types.SimpleNamespace
) -> None:
    named = {n: index.column(n) for n in ("count", "sum", "sum_of_squares", "max", "histogram")}
    edges = index.column("bin_edges")
    with opened(interleaved) as file:
        for feature in range(FEATURES):
            values = dense(index, file, seed, feature)
            active = values[values > 0].astype(np.float64)
            assert named["count"][feature] == len(active)
            assert named["max"][feature] == active.max(initial=0)
            np.testing.assert_allclose(named["sum"][feature], active.sum(), rtol=1e-12)
            np.testing.assert_allclose(
                named["sum_of_squares"][feature], (active**2).sum(), rtol=1e-12
            )
            wanted = np.histogram(active, edges[:-1])[0]
            np.testing.assert_array_equal(named["histogram"][feature, :63], wanted)


def test_features_of_a_review_are_those_of_its_tokens(
    index: TokenIndex, interleaved: FilesSource, opened: Any, seed: types.SimpleNamespace
) -> None:
    with opened(interleaved) as file:
        all_values = np.stack([dense(index, file, seed, f) for f in range(FEATURES)])
    for name in ("review-5", "review-100"):
        mine = all_values[:, index.reviews.review_token_positions(name)]
        frame = index.features_of_review(name)
        assert set(frame["feature"]) == set(np.flatnonzero(mine.max(axis=1)))
        for row in frame.to_dict("records"):
            values = mine[row["feature"]]
            assert (row["tokens"], row["max"]) == ((values > 0).sum(), values.max())
            assert row["sum"] == pytest.approx(values.sum())


def test_reviews_of_a_feature_are_ranked_by_their_strongest_token(
    index: TokenIndex, interleaved: FilesSource, opened: Any, seed: types.SimpleNamespace
) -> None:
    with opened(interleaved) as file:
        values = dense(index, file, seed, 9)
        positions = seed.review_token_positions(file)
    frame = index.reviews_of_feature(9)
    largest = {name: values[tokens].max() for name, tokens in positions.items()}
    assert dict(zip(frame["review_id"], frame["max"], strict=True)) == {
        name: value for name, value in largest.items() if value
    }
    assert (np.diff(frame["max"]) <= 0).all()
    for row in frame.head(5).itertuples():
        assert row.mean == pytest.approx(values[positions[row.review_id]].mean())


# Over several segments and parts


@pytest.mark.parametrize("values", ["f16", "f32"])
@pytest.mark.parametrize("part_rows", [1, 16])
def test_segments_and_parts_change_nothing(
    files_of: Files, index_of: Index, tmp_path: Path, values: Values, part_rows: int
) -> None:
    random = np.random.default_rng(3)
    count = 2 * SEGMENT_TOKENS + 100
    features = np.stack([random.integers(0, 40, count), 40 + random.integers(0, 3, count)], 1)
    given = random.exponential(1, (count, 2)).astype(np.float16).astype(np.float32)
    files = files_of(tmp_path / "files", features, given, np.arange(count) // 30)
    index = index_of(files, tmp_path / "store", 44, values=values, part_rows=part_rows)
    assert len(index.parts) == (3 if part_rows == 1 else 1)
    for feature in (0, 39, 41, 43):
        rows, slots = np.nonzero((features == feature) & (given > 0))
        tokens, found = index.postings(feature)
        np.testing.assert_array_equal(tokens, rows)
        np.testing.assert_array_equal(found, given[rows, slots])
        order = np.lexsort((rows, -found))[:64]
        np.testing.assert_array_equal(index.ranked(feature, 64)[0], rows[order])
    for start, stop in ((0, 3), (SEGMENT_TOKENS - 2, 2 * SEGMENT_TOKENS + 5), (count - 1, count)):
        tokens, listed, found = index.features_of(start, stop)
        rows, slots = np.nonzero(given[start:stop] > 0)
        assert set(zip(tokens, listed, found, strict=True)) == set(
            zip(rows + start, features[start:stop][rows, slots], given[start:stop][rows, slots],
                strict=True)
        )  # fmt: skip


def test_a_run_that_ended_early_goes_on_from_the_reviews_and_parts_that_it_sealed(
    files_of: Files, index_of: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = SEGMENT_TOKENS + 10
    features = np.arange(tokens, dtype=np.int32)[:, None] % 7
    given = features, np.ones((tokens, 1), np.float32), np.arange(tokens) // 9000
    files, sort = files_of(tmp_path / "files", *given), part_entries

    def sort_the_first(*rows: Any, **settings: Any) -> Any:
        if settings["first_token"]:
            raise KeyboardInterrupt
        return sort(*rows, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(indexing, "part_entries", sort_the_first)
        with pytest.raises(KeyboardInterrupt):
            index_of(files, tmp_path / "store", 7, part_rows=1)
    store = ArtifactStore(tmp_path / "store")
    assert list(store.published()) == []
    sealed = {draft.key.kind: len(draft.sealed()) for draft in store.drafts()}
    assert sealed == {"token-reviews": 1, "token-postings": 1}
    monkeypatch.setattr(indexing, "read_arrays", None)  # nothing of it is read again
    assert index_of(files, tmp_path / "store", 7, part_rows=1).n_tokens == tokens
    assert store.drafts() == []


@pytest.mark.parametrize(
    "dtypes", [("i8", "f8"), ("u2", "f4"), ("i2", "f2"), ("u8", "f8"), ("u4", "f4")]
)
def test_any_width_of_integers_and_floats_is_read(
    files_of: Files, entries: Entries, index_of: Index, tmp_path: Path, dtypes: tuple[str, str]
) -> None:
    features, values = entries(200, 4, 20)
    files = files_of(tmp_path / "files", features, values, np.arange(200) // 9, dtypes=dtypes)
    index = index_of(files, tmp_path / "store", 20)
    rows, slots = np.nonzero((features == 3) & (values > 0))
    np.testing.assert_array_equal(index.postings(3)[0], rows)
    np.testing.assert_array_equal(index.postings(3)[1], values[rows, slots])
