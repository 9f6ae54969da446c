"""The index: any feature's tokens, statistics and co-activations, from postings in mapped parts.

An entry is active when its value is above 0. Ranked means: value descending, then token ascending.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from conf.errors import RecipeError
from conf.keys import ArtifactKey
from conf.tokens import SEGMENT_TOKENS, IndexRecipe
from storage.errors import DamagedArtifact, StoreError
from storage.manifest import Manifest
from storage.store import Artifact, ArtifactStore
from storage.tokens.postings import INDEX, OFFSETS, TOKENS, VALUES, map_array
from storage.tokens.reviews import Reviews

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class IndexPart:
    """The mapped entries of one part."""

    first_token: int
    segments: int
    column: int
    """Where its offsets begin in a row of the index's."""
    tokens: Array
    values: Array
    offsets: Array


class TokenPostings:
    """Read access to postings: features and their tokens."""

    def __init__(self, store: ArtifactStore, artifact: Artifact) -> None:
        self.artifact = artifact
        self.store = store
        self.path = store.path_of(artifact)
        self.manifest = store.manifest(artifact.key)
        if problem := self.manifest.problem(self.path, rehash=False):
            raise DamagedArtifact(
                f"{artifact.key}: {problem}. `featuremill verify` quarantines it; run the flow "
                "again to remake it."
            )
        with h5py.File(self.path / INDEX, "r") as file:
            self.n_features, self.n_tokens, self.k = (
                int(file.attrs[name]) for name in ("n_features", "n_tokens", "k")
            )
            self._starts = file["part_first_token"][:]
            self._segments = file["part_segments"][:]
            self._names = [name.decode() for name in file["part_name"][:]]
        self._offsets = map_array(self.path / INDEX, "offsets")

    # -- what there is ---------------------------------------------------------------------------

    @cached_property
    def parts(self) -> list[IndexPart]:
        """The parts, by token."""
        columns = np.concatenate([[0], np.cumsum(self._segments + 1)])
        return [
            IndexPart(
                int(self._starts[number]),
                int(self._segments[number]),
                int(columns[number]),
                map_array(self.path / "parts" / name / TOKENS, "token"),
                map_array(self.path / "parts" / name / VALUES, "value"),
                map_array(self.path / "parts" / name / OFFSETS, "offset"),
            )
            for number, name in enumerate(self._names)
        ]

    def column(self, name: str) -> Array:
        """Return a statistic of all features: count, sum, sum_of_squares, max, histogram, ..."""
        with h5py.File(self.path / INDEX, "r") as file:
            rows: Array = file[name][:]
        return rows

    def _check(self, feature: int) -> None:
        if not 0 <= feature < self.n_features:
            raise RecipeError(
                f"There is no feature {feature}: this index has {self.n_features}, from 0 to "
                f"{self.n_features - 1}."
            )

    # -- tokens of a feature ---------------------------------------------------------------------

    def postings(self, feature: int) -> tuple[Array, Array]:
        """Return the tokens (int64, ascending) at which `feature` is active, and its values
        (float32)."""
        self._check(feature)
        row = self._offsets[feature]
        tokens, values = [], []
        for part in self.parts:
            starts = row[part.column : part.column + part.segments + 1].astype(np.int64)
            first, last = int(starts[0]), int(starts[-1])
            if first < last:
                bases = part.first_token + SEGMENT_TOKENS * np.arange(part.segments)
                tokens.append(part.tokens[first:last] + np.repeat(bases, np.diff(starts)))
                values.append(part.values[first:last])
        if not tokens:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        return np.concatenate(tokens), np.concatenate(values).astype(np.float32)

    def strongest(self, feature: int, count: int | None = None) -> tuple[Array, Array]:
        """Return the strongest tokens of `feature` and their values: all, or the first `count`."""
        if count is not None and count <= 64:
            return self._top(feature, count)
        tokens, values = self.postings(feature)
        if count is not None and count < len(values):
            kept = values >= -np.partition(-values, count - 1)[count - 1]
            tokens, values = tokens[kept], values[kept]
        order = np.argsort(-values, kind="stable")
        return tokens[order][:count], values[order][:count]

    def _top(self, feature: int, count: int) -> tuple[Array, Array]:
        self._check(feature)
        tokens = self._mapped("top_token")[feature, :count].astype(np.int64)
        values = np.array(self._mapped("top_value")[feature, :count])
        active = values > 0
        return tokens[active], values[active]

    def _mapped(self, name: str) -> Array:
        if name not in self.__dict__.setdefault("_maps", {}):
            self.__dict__["_maps"][name] = map_array(self.path / INDEX, name)
        rows: Array = self.__dict__["_maps"][name]
        return rows

    def get_feature_activation(self, token_idx: int, feature_idx: int) -> float:
        """Return the activation of a feature at a token, 0.0 where it is not active."""
        self._check(feature_idx)
        self._check_tokens(token_idx, token_idx + 1)
        part = self._part_of(token_idx)
        segment, offset = divmod(token_idx - part.first_token, SEGMENT_TOKENS)
        first, last = self._offsets[feature_idx][
            part.column + segment : part.column + segment + 2
        ].tolist()
        place = first + int(np.searchsorted(part.tokens[first:last], offset))
        is_there = place < last and part.tokens[place] == offset
        return float(part.values[place]) if is_there else 0.0

    def get_feature_activations_chunk(self, feature_idx: int, start: int, end: int) -> Array:
        """Return the activations (end - start,) float32 of a feature at a range of tokens."""
        self._check_tokens(start, end)
        tokens, values = self.postings(feature_idx)
        first, last = np.searchsorted(tokens, (start, end))
        out = np.zeros(max(0, end - start), np.float32)
        out[tokens[first:last] - start] = values[first:last]
        return out

    def _check_tokens(self, start: int, end: int) -> None:
        if not 0 <= start <= end <= self.n_tokens:
            raise RecipeError(
                f"There are no tokens {start} to {end}: this index has {self.n_tokens}, from 0."
            )

    def _part_of(self, token: int) -> IndexPart:
        return self.parts[int(np.searchsorted(self._starts, token, side="right")) - 1]

    def sample_parts(self, n_tokens: int) -> Iterator[tuple[IndexPart, int]]:
        """Yield the first parts that together hold at least so many tokens, with their sizes."""
        ends = [*self._starts[1:].tolist(), self.n_tokens]
        for part, end in zip(self.parts, ends, strict=True):
            if part.first_token < n_tokens:
                yield part, end - part.first_token

    # -- features of tokens ----------------------------------------------------------------------

    def features_of(self, start: int, stop: int) -> tuple[Array, Array, Array]:
        """Return what is active at a range of tokens: tokens, features and values, by feature.

        Every feature's entries are searched at once, segment by segment.
        """
        self._check_tokens(start, stop)
        found = [self._features_in(*piece) for piece in self._pieces(start, stop)]
        empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        tokens, features, values = (np.concatenate(c) for c in zip(empty, *found, strict=True))
        order = np.lexsort((tokens, features))
        return tokens[order], features[order], values[order]

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[IndexPart, int, int, int]]:
        while start < stop:
            part = self._part_of(start)
            segment, first = divmod(start - part.first_token, SEGMENT_TOKENS)
            last = min(SEGMENT_TOKENS, first + stop - start)
            yield part, segment, first, last
            start += last - first

    def _features_in(
        self, part: IndexPart, segment: int, first: int, last: int
    ) -> tuple[Array, Array, Array]:
        runs = np.arange(self.n_features) * part.segments + segment
        begins, ends = part.offsets[runs].astype(np.int64), part.offsets[runs + 1].astype(np.int64)
        lower = _search(part.tokens, begins, ends, first)
        upper = _search(part.tokens, lower, ends, last)
        counts = upper - lower
        features = np.repeat(np.arange(self.n_features), counts)
        within = np.arange(len(features)) - np.repeat(np.cumsum(counts) - counts, counts)
        places = np.repeat(lower, counts) + within
        base = part.first_token + segment * SEGMENT_TOKENS
        tokens = part.tokens[places].astype(np.int64) + base
        return tokens, features, part.values[places].astype(np.float32)


class TokenIndex(TokenPostings):
    """Read access to an index over activations: postings, and the reviews that they go with."""

    def __init__(self, store: ArtifactStore, artifact: Artifact) -> None:
        joined = store.manifest(artifact.key)
        _check_version(joined)
        super().__init__(store, _input(store, joined, "postings"))
        self.artifact, self.manifest = artifact, joined

    @cached_property
    def reviews(self) -> Reviews:
        """The reviews that the tokens belong to."""
        return Reviews(self.store, _input(self.store, self.manifest, "reviews"))

    def ranked(
        self, feature: int, count: int | None = None, *, one_per_review: bool = False
    ) -> tuple[Array, Array]:
        """Return the strongest tokens of `feature` and their values: all, or the first `count`.

        With `one_per_review` only the strongest token of each review counts.
        """
        if not one_per_review:
            return self.strongest(feature, count)
        tokens, values = self.strongest(feature)
        _, firsts = np.unique(self.reviews.positions.reviews_of(tokens), return_index=True)
        firsts = np.sort(firsts)[:count]
        return tokens[firsts], values[firsts]

    def features_of_review(self, review_id: str) -> "pd.DataFrame":
        """Return the features active in a review: feature, tokens, max, sum; largest sum first."""
        import pandas as pd

        row = self.reviews.row_of.get(review_id)
        if row is None:
            raise RecipeError(f"There is no review {review_id!r} in {self.artifact.key}.")
        found = [self.features_of(*span) for span in self.reviews.positions.ranges_of(row)]
        features = np.concatenate([np.empty(0, np.int64), *(f for _, f, _ in found)])
        values = np.concatenate([np.empty(0, np.float32), *(v for _, _, v in found)])
        names, places = np.unique(features, return_inverse=True)
        largest = np.zeros(len(names), np.float32)
        np.maximum.at(largest, places, values)
        frame = pd.DataFrame(
            {
                "feature": names,
                "tokens": np.bincount(places, minlength=len(names)),
                "max": largest,
                "sum": np.bincount(places, weights=values, minlength=len(names)),
            }
        )
        return frame.sort_values(["sum", "feature"], ascending=[False, True], ignore_index=True)

    def reviews_of_feature(self, feature: int, count: int | None = None) -> "pd.DataFrame":
        """Return the reviews in which `feature` is active: review_id, tokens, max, mean, largest
        max first; `mean` is over all tokens of the review."""
        import pandas as pd

        tokens, values = self.postings(feature)
        positions = self.reviews.positions
        rows, places = np.unique(positions.reviews_of(tokens), return_inverse=True)
        largest = np.zeros(len(rows), np.float32)
        np.maximum.at(largest, places, values)
        sums = np.bincount(places, weights=values, minlength=len(rows))
        order = np.lexsort((rows, -largest))[:count]
        return pd.DataFrame(
            {
                "review_id": self.reviews.ids[rows[order]],
                "tokens": np.bincount(places, minlength=len(rows))[order],
                "max": largest[order],
                "mean": (sums / positions.lengths[rows])[order],
            }
        )


def _check_version(joined: Manifest) -> None:
    version = ArtifactKey.parse(joined.key).version
    if version != IndexRecipe.version:
        raise StoreError(
            f"{joined.key} is of version {version}; this reads indexes of version "
            f"{IndexRecipe.version}, which join postings with reviews. Run its flow again: that "
            "makes one of them beside it."
        )


def _input(store: ArtifactStore, joined: Manifest, name: str) -> Artifact:
    key = ArtifactKey.parse(joined.inputs[name])
    found = store.find(key)
    if found is None:
        raise store.unknown(str(key))
    return found


def _search(tokens: Array, begins: Array, ends: Array, wanted: int) -> Array:
    """Return, in every run of ascending `tokens`, the first place whose token is not below
    `wanted`."""
    low, high = begins.copy(), ends.copy()
    while (open_runs := np.flatnonzero(low < high)).size:
        middle = (low[open_runs] + high[open_runs]) // 2
        is_below = tokens[middle] < wanted
        low[open_runs[is_below]] = middle[is_below] + 1
        high[open_runs[~is_below]] = middle[~is_below]
    return low
