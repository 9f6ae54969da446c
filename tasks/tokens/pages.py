"""Feature pages, built from an index alone: what they show is gathered here, drawn in
tasks/pages."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conf.runtime import Runtime
from storage.atomic import write_file
from storage.tokens import TokenIndex
from tasks.pages.tokens import (
    FeaturePage,
    ShadedContext,
    feature_html,
    file_name,
    index_html,
)
from tasks.tokens.contexts import Contexts, contexts_of
from tasks.tokens.joins import associations
from tasks.tokens.statistics import coactive, feature_table, histogram, strata

if TYPE_CHECKING:
    import pandas as pd

_CONTEXTS, _RELATED = 20, 10

Array = np.ndarray[Any, Any]


def write_pages(
    index: TokenIndex,
    into: Path,
    runtime: Runtime,
    features: Sequence[int] = (),
    *,
    count: int = 20,
    tokenizer: str | None = None,
) -> list[Path]:
    """Write a page for each of `features`, or for the `count` most tied to stars, and index.html;
    return where they are, the index first."""
    reader = contexts_of(index, runtime, tokenizer)
    tied = associations(index, "stars")
    chosen = list(features) or [int(f) for f in tied["feature"].head(count)]
    table = index.reviews.reviews()
    shown = [_gathered(reader, number, tied, table) for number in chosen]
    into.mkdir(parents=True, exist_ok=True)
    facts = [
        ("index", index.artifact.key),
        ("tokens", f"{index.n_tokens:,}"),
        ("reviews", f"{index.reviews.positions.n_reviews:,}"),
        ("features", f"{index.n_features:,}"),
    ]
    texts = {"index.html": index_html(shown, facts)}
    texts |= {file_name(one.number): feature_html(one, chosen) for one in shown}
    for name, html in texts.items():
        write_file(into / name, html.encode())
    return [into / name for name in texts]


def _gathered(
    reader: Contexts, number: int, tied: "pd.DataFrame", table: "pd.DataFrame"
) -> FeaturePage:
    index = reader.index
    facts = feature_table(index, [number]).to_dict("records")[0]
    tokens, values = index.postings(number)
    shade = _Shader(reader, tokens, values, table["stars"].to_numpy(np.float64))
    found = coactive(index, number).head(_RELATED)
    best = index.ranked(number, _CONTEXTS, one_per_review=True)[0]
    return FeaturePage(
        number=number,
        facts=_facts(facts),
        histogram=tuple(histogram(index, number)),
        largest=float(facts["max"]),
        contexts=shade.all(best),
        strata=tuple(
            (one.number, one.lowest, one.highest, shade.all(one.tokens))
            for one in strata(index, number)
        ),
        related=tuple(
            (int(r["feature"]), int(r["both"]), r["lift"], r["lift_low"], int(r["tokens"]))
            for r in found.to_dict("records")
        ),
        by_stars=_by_stars(index, tokens, values, shade.stars),
        association=_told(tied[tied["feature"] == number].to_dict("records")[0]),
    )


def _facts(row: dict[Any, Any]) -> tuple[tuple[str, object], ...]:
    low, high = row["density_low"], row["density_high"]
    return (
        ("active tokens", f"{row['count']:,}"),
        ("density", f"{row['density']:.3%}"),
        ("density, 95 % interval", f"{low:.3%} to {high:.3%}"),
        ("mean where active", _number(row["mean"])),
        ("standard deviation where active", _number(row["std"])),
        ("largest", float(row["max"])),
    )


def _number(value: float) -> object:
    return "none: it is never active" if math.isnan(value) else value


def _told(row: dict[Any, Any]) -> str:
    if row["reason"]:
        return f"Not tested: {row['reason']}."
    return (
        f"{row['effect']:+.4f} a star (error {row['error']:.4f}, clustered by review; "
        f"q = {row['q']:.1e})"
    )


def _by_stars(
    index: TokenIndex, tokens: Array, values: Array, stars: Array
) -> tuple[tuple[str, int, float], ...]:
    positions = index.reviews.positions
    sums = np.bincount(positions.reviews_of(tokens), weights=values, minlength=len(stars))
    found = []
    for number in np.unique(stars[~np.isnan(stars)]):
        mine = stars == number
        length = max(1, int(positions.lengths[mine].sum()))
        found.append((f"{number:g}", int(mine.sum()), float(sums[mine].sum() / length)))
    return tuple(found)


class _Shader:
    """Contexts of one feature's tokens, every token with its activation."""

    def __init__(self, reader: Contexts, tokens: Array, values: Array, stars: Array) -> None:
        self._reader, self._tokens, self._values = reader, tokens, values
        self.stars = stars

    def all(self, tokens: Array) -> tuple[ShadedContext, ...]:
        """Return the contexts of those of `tokens` that have one."""
        return tuple(found for token in tokens.tolist() if (found := self._one(token)))

    def _one(self, token: int) -> ShadedContext | None:
        found = self._reader.extract_context(token)
        if found is None:
            return None
        positions = self._reader.index.reviews.positions
        row = int(positions.reviews_of(np.array([token]))[0])
        first = found.position - found.active
        mine = positions.positions_of(row)[first : first + len(found.spans)]
        values = [self._value(one) for one in mine]
        pieces, active = _pieces(found.text, found.spans, values, found.active)
        value = self._value(token)
        return ShadedContext(value, found.review_id, float(self.stars[row]), pieces, active)

    def _value(self, token: int) -> float:
        place = int(np.searchsorted(self._tokens, token))
        is_there = place < len(self._tokens) and self._tokens[place] == token
        return float(self._values[place]) if is_there else 0.0


def _pieces(
    passage: str, spans: Sequence[tuple[int, int]], values: Sequence[float], active: int
) -> tuple[tuple[tuple[str, float], ...], int]:
    """Return the passage in pieces with their activations, and which of them is the active token.

    Tokens that share a character are one piece, with the largest of their activations.
    """
    pieces: list[tuple[str, float]] = []
    end, place = 0, 0
    for number, ((start, stop), value) in enumerate(zip(spans, values, strict=False)):
        if start > end:
            pieces.append((passage[end:start], 0.0))
        if stop > end:
            pieces.append((passage[max(start, end) : stop], value))
        elif pieces:
            pieces[-1] = (pieces[-1][0], max(pieces[-1][1], value))
        end = max(end, stop)
        place = len(pieces) - 1 if number == active else place
    return tuple(pieces), place
