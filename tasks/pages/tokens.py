"""Pages of features: contexts with shaded tokens, histogram, strata, relatives, stars."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape as text

from tasks.pages.shell import page

_SHADES = 10
_POWER = re.compile(r"(\d[\d.]*e[+-]\d+)")
_STYLE = "".join(
    f".s{level} {{ background: rgb(255 150 0 / {level / _SHADES:.2f}); }}\n"
    for level in range(1, _SHADES + 1)
) + (
    ".context { margin: .35rem 0; white-space: pre-wrap; } .on { outline: 2px solid; }\n"
    ".context .soft { display: inline-block; }\n"
    ".value { font-variant-numeric: tabular-nums; opacity: .7; margin-right: .8rem; }\n"
    ".number { white-space: nowrap; }\n"
    ".bar { fill: #3978b5; } .axis { font-size: 11px; fill: currentColor; }\n"
)


@dataclass(frozen=True)
class ShadedContext:
    """A passage, cut into tokens, each with its activation."""

    value: float
    review_id: str
    stars: float
    pieces: tuple[tuple[str, float], ...]
    """Text and activation, in the order of the passage: tokens, and what lies between them."""
    active: int
    """Which piece is the token that was asked for."""


@dataclass(frozen=True)
class FeaturePage:
    """All that the page of a feature shows."""

    number: int
    facts: tuple[tuple[str, object], ...]
    histogram: tuple[tuple[float, float, int], ...]
    largest: float
    contexts: tuple[ShadedContext, ...]
    strata: tuple[tuple[int, float, float, tuple[ShadedContext, ...]], ...]
    related: tuple[tuple[int, int, float, float, int], ...]
    """Feature, tokens with both, lift, its lower bound, tokens of the sample."""
    by_stars: tuple[tuple[str, int, float], ...]
    """Stars, reviews, mean activation of their tokens."""
    association: str


def file_name(number: int) -> str:
    """Return the name of a feature's page."""
    return f"feature-{number}.html"


def feature_html(shown: FeaturePage, linked: Sequence[int]) -> str:
    """Return the page of a feature; related features of `linked` are links."""
    body = [
        f"<h1>Feature {shown.number}</h1>",
        '<p><a href="index.html">All features</a></p>',
        table(("what", "value"), list(shown.facts)),
        f"<h2>Activations</h2>\n{_bars(shown)}",
        f"<h2>Strongest contexts</h2>\n{_contexts(shown.contexts, shown.largest)}",
        f"<h2>From weak to strong</h2>\n{_strata(shown)}",
        f"<h2>Active beside it</h2>\n{_related(shown, set(linked))}",
        f"<h2>Stars</h2>\n<p>{_unbroken(shown.association)}</p>",
        table(("stars", "reviews", "mean activation"), list(shown.by_stars)),
    ]
    return page(f"Feature {shown.number}", "\n".join(body), style=_STYLE)


def index_html(pages: Sequence[FeaturePage], facts: Sequence[tuple[str, object]]) -> str:
    """Return the page that leads to the pages of features."""
    rows: list[tuple[object, ...]] = [
        (
            Html(f'<a href="{file_name(shown.number)}">{shown.number}</a>'),
            *(value for _, value in shown.facts[:2]),
            _unbroken(shown.association),
            Html(_line(shown.contexts[0], shown.largest)) if shown.contexts else "",
        )
        for shown in pages
    ]
    names = ("feature", *(name for name, _ in pages[0].facts[:2])) if pages else ("feature",)
    header = (*names, "stars", "strongest context")
    body = [
        "<h1>Features of an index</h1>",
        table(("what", "value"), list(facts)),
        f"<h2>Features</h2>\n{table(header, rows)}",
    ]
    return page("Features of an index", "\n".join(body), style=_STYLE)


def _contexts(contexts: Sequence[ShadedContext], largest: float) -> str:
    if not contexts:
        return '<p class="soft">The feature is never active, or its texts are not known.</p>'
    return "\n".join(
        f'<div class="context"><span class="value">{shown.value:.2f}</span>'
        f"{_line(shown, largest)} "
        f'<span class="soft">{text(shown.review_id)}, {_stars(shown.stars)}</span></div>'
        for shown in contexts
    )


def _stars(stars: float) -> str:
    return "stars unknown" if math.isnan(stars) else f"{stars:g} stars"


def _line(shown: ShadedContext, largest: float) -> str:
    return "".join(
        _piece(piece, value / largest if largest else 0, is_active=place == shown.active)
        for place, (piece, value) in enumerate(shown.pieces)
    )


def _piece(piece: str, share: float, *, is_active: bool) -> str:
    level = min(_SHADES, math.ceil(share * _SHADES))
    names = [f"s{level}"] * (level > 0) + ["on"] * is_active
    if not names:
        return text(piece)
    return (
        f'<span class="{" ".join(names)}" title="{share:.0%} of the largest">{text(piece)}</span>'
    )


def _strata(shown: FeaturePage) -> str:
    return "\n".join(
        f"<h3>Tenth {number}: {low:.3g} to {high:.3g}</h3>\n{_contexts(contexts, shown.largest)}"
        for number, low, high, contexts in shown.strata
    )


def _related(shown: FeaturePage, linked: set[int]) -> str:
    if not shown.related:
        return '<p class="soft">Nothing is.</p>'
    rows: list[tuple[object, ...]] = [
        (
            Html(f'<a href="{file_name(other)}">{other}</a>') if other in linked else other,
            *numbers,
        )
        for other, *numbers, _ in shown.related
    ]
    sample = shown.related[0][-1]
    note = f'<p class="soft">Counted in {sample:,} tokens; the bound is of 95 %.</p>'
    return table(("feature", "tokens with both", "lift", "at least"), rows) + note


def _bars(shown: FeaturePage) -> str:
    filled = [place for place, (_, _, count) in enumerate(shown.histogram) if count]
    if not filled:
        return '<p class="soft">The feature is never active.</p>'
    bins = shown.histogram[filled[0] : filled[-1] + 1]
    most, width, height = max(count for *_, count in bins), 46, 160
    drawn = [
        f'<rect class="bar" x="{place * width}" y="{height - round(height * count / most)}" '
        f'width="{width - 4}" height="{round(height * count / most)}">'
        f"<title>{low:.3g} to {high:.3g}: {count:,}</title></rect>"
        f'<text class="axis" x="{place * width}" y="{height + 14}">{low:.2g}</text>'
        for place, (low, high, count) in enumerate(bins)
    ]
    size = f'viewBox="0 0 {width * len(bins)} {height + 20}" width="{width * len(bins)}"'
    label = 'role="img" aria-label="Histogram of activations, in half octaves"'
    return f"<svg {size} {label}>{''.join(drawn)}</svg>"


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table; cells are shown as they are, but for those that are `Html`."""
    head = "".join(f"<th>{text(name)}</th>" for name in header)
    lines = ("".join(f"<td>{_cell(cell)}</td>" for cell in row) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>\n<tr>{head}</tr>\n{body}\n</table>"


def _unbroken(words: str) -> Html:
    """Return `words`, in which a number such as 1.6e-48 is not broken where a line ends."""
    pieces = _POWER.split(words)  # every other one is a number
    return Html("".join(_number(p) if place % 2 else text(p) for place, p in enumerate(pieces)))


def _number(shown: str) -> str:
    return f'<span class="number">{shown}</span>'


def _cell(cell: object) -> str:
    if isinstance(cell, Html):
        return cell
    return _number(f"{cell:.4g}") if isinstance(cell, float) else text(str(cell))
