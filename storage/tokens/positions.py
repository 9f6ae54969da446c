"""Which tokens are whose: the position map, in runs of tokens of one review.

A review may have several runs. For 432,248 reviews of one run each the map takes 3.5 MB.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from storage.tokens.errors import BadActivations
from storage.tokens.source import Activations

Array = np.ndarray[Any, Any]

_CHUNK_TOKENS = 1 << 20


@dataclass(frozen=True, eq=False)
class PositionMap:
    """Review to token ranges and token to review."""

    run_start: Array
    """(runs,) uint32, ascending: the first token of each run; a run ends where the next begins."""
    run_review: Array
    """(runs,) int32: whose it is, a row of the reviews."""
    n_tokens: int
    n_reviews: int

    @cached_property
    def _run_stop(self) -> Array:
        return np.append(self.run_start[1:], np.uint32(self.n_tokens)).astype(np.int64)

    @cached_property
    def _order(self) -> Array:
        return np.argsort(self.run_review, kind="stable")

    @cached_property
    def _first_run(self) -> Array:
        counts = np.bincount(self.run_review, minlength=self.n_reviews)
        return np.concatenate([[0], np.cumsum(counts)])

    @cached_property
    def _before(self) -> Array:
        """How many tokens of its review come before each run."""
        lengths = (self._run_stop - self.run_start)[self._order]
        total = np.concatenate([[0], np.cumsum(lengths)])
        before = np.empty(len(lengths), np.int64)
        firsts = self._first_run[self.run_review[self._order]]
        before[self._order] = total[:-1] - total[firsts]
        return before

    @cached_property
    def lengths(self) -> Array:
        """(n_reviews,) int64: how many tokens each review has."""
        lengths = self._run_stop - self.run_start
        counts = np.bincount(self.run_review, weights=lengths, minlength=self.n_reviews)
        return counts.astype(np.int64)

    def ranges_of(self, review: int) -> list[tuple[int, int]]:
        """Return the token ranges (start, stop) of a review, ascending."""
        runs = self._order[self._first_run[review] : self._first_run[review + 1]]
        return [(int(self.run_start[run]), int(self._run_stop[run])) for run in runs]

    def positions_of(self, review: int) -> list[int]:
        """Return the positions of all tokens of a review, as the seed's map lists them."""
        return [token for start, stop in self.ranges_of(review) for token in range(start, stop)]

    def reviews_of_all(self) -> Array:
        """Return the review (int32) of every token: 4 bytes a token."""
        return np.repeat(self.run_review, self._run_stop - self.run_start)

    def reviews_of(self, tokens: Array) -> Array:
        """Return the review (int32) of each of `tokens`."""
        found: Array = self.run_review[self._runs(tokens)]
        return found

    def local_positions(self, tokens: Array) -> Array:
        """Return the place (int64) of each token among the tokens of its review."""
        runs = self._runs(tokens)
        return np.asarray(tokens, np.int64) - self.run_start[runs] + self._before[runs]

    def _runs(self, tokens: Array) -> Array:
        return np.searchsorted(self.run_start, np.asarray(tokens, np.uint32), side="right") - 1


def map_positions(source: Activations) -> PositionMap:
    """Return the position map of `source`; raises BadActivations for a token of no review."""
    known = source.review_ids()
    starts, names = _runs(source)
    order = np.argsort(known, kind="stable")
    if len(known) != len(np.unique(known)):
        raise BadActivations(f"{source.path}: review_ids_unique names a review more than once.")
    places = np.searchsorted(known[order], names) if len(known) else np.zeros(len(names), int)
    reviews = order[np.minimum(places, len(known) - 1)] if len(known) else places
    wrong = np.flatnonzero(known[reviews] != names) if len(known) else np.arange(len(names))
    if len(wrong):
        token = int(starts[wrong[0]])
        raise BadActivations(
            f"{source.path}: token {token} belongs to review {names[wrong[0]].decode()!r}, which "
            f"review_ids_unique does not name; {len(wrong)} runs of tokens do. The datasets are of "
            "different runs."
        )
    return PositionMap(
        starts.astype(np.uint32), reviews.astype(np.int32), source.n_tokens, len(known)
    )


def _runs(source: Activations) -> tuple[Array, Array]:
    """Return the first token of each run and the id of its review."""
    starts, names = [np.empty(0, np.int64)], [np.empty(0, "S1")]
    last = None
    for start, ids in _chunks(source):
        changes = np.flatnonzero(ids[1:] != ids[:-1]) + 1
        if last is None or ids[0] != last:
            changes = np.concatenate([[0], changes])
        starts.append(changes + start)
        names.append(ids[changes])
        last = ids[-1]
    return np.concatenate(starts), np.concatenate(names)


def _chunks(source: Activations) -> Iterator[tuple[int, Array]]:
    for start in range(0, source.n_tokens, _CHUNK_TOKENS):
        yield start, source.token_reviews(start, min(start + _CHUNK_TOKENS, source.n_tokens))
