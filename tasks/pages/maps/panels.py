"""The words and tables of a map's page: how far to believe it, what to look at, what to doubt."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tasks.compute.diagnostics.report import Diagnostics, Share, SplitScore
from tasks.compute.projection.trust import Estimate, Stability, TrustSummary
from tasks.pages.maps.view import Categories, Column, MapView
from tasks.pages.shell import cut, element, escaped, short, table

LEAST_TRUSTED = 50
_SHOWN = 50
_GOOD, _FAIR = 0.95, 0.85
"""Rules of thumb for trustworthiness and continuity, of which a random map has about 0.5."""
_SAME, _ALIKE = 0.1, 0.4
"""And for the disparity of seeds."""


def heading(view: MapView, notes: Sequence[str]) -> str:
    """Return the title, what the map is, and its measures."""
    method = f"{short(view.method)} · {_points(len(view.ids))}"
    naming = element("h1", short(view.title)) + element("p", method, class_="soft")
    naming += element("p", verdict(view.trust), class_="small verdict")
    said = (*_checked(view.trust), *notes)
    naming += "".join(element("p", short(note), class_="soft small") for note in said)
    measures = element("div", _measures(view.trust), class_="measures") if view.trust else ""
    banner = "" if view.order_proven else element("p", _UNPROVEN, class_="banner", role="alert")
    return banner + element("header", element("div", naming, class_="naming") + measures)


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count:,} points"


_UNPROVEN = (
    "Order unproven: nothing in these files ties a vector to its name and label. If their order "
    "differs, every name and label on this map is wrong."
)


def verdict(trust: TrustSummary | None) -> str:
    """Return in a sentence or two how far to believe a map."""
    if trust is None:
        return "Nobody has measured how far to believe this map."
    near = _grade(
        trust.trustworthiness.value,
        "Points that are near here are almost always near in the features",
        "Points that are near here are mostly near in the features",
        "Points that are near here are often far apart in the features: believe no detail",
    )
    torn = _grade(
        trust.continuity.value,
        "true neighbours are seldom torn apart",
        "some true neighbours are torn apart",
        "many true neighbours are torn apart",
    )
    said = f"{near}; {torn}."
    if trust.stability:
        said += " " + _steadiness(trust.stability)
    return f"{said} Gaps and sizes of clusters are not to scale unless the map is a PCA."


def _steadiness(stability: Stability) -> str:
    moved = f"the median point moves by {stability.median_shift:.1%} of the map's radius"
    if stability.disparity <= _SAME:
        return f"Other seeds give nearly the same map: {moved}."
    if stability.disparity <= _ALIKE:
        return f"Other seeds move parts of the map: {moved}."
    return f"Other seeds give another map, whose arrangement is chance: {moved}."


def _grade(value: float, good: str, fair: str, poor: str) -> str:
    return good if value >= _GOOD else fair if value >= _FAIR else poor


def _checked(trust: TrustSummary | None) -> tuple[str, ...]:
    """Return what the measures are taken of."""
    if trust is None:
        return ()
    anchors = trust.trustworthiness.anchors
    said = f"Measured with k = {trust.neighbours}; {anchors:,} of {trust.points:,} points checked."
    return (said, *trust.notes)


def _measures(trust: TrustSummary) -> str:
    told = [
        _measure("Trustworthiness", trust.trustworthiness, "near here, near in truth", rated=True),
        _measure("Continuity", trust.continuity, "near in truth, near here", rated=True),
        _measure(
            "Neighbours kept", trust.recall,
            f"of the {trust.neighbours} nearest; chance {_chance(trust):.3f}", rated=False,
        ),
    ]  # fmt: skip
    if trust.stability:
        told.append(_stability(trust.stability))
    return "".join(told)


def _chance(trust: TrustSummary) -> float:
    return trust.neighbours / max(1, trust.points - 1)


def _measure(name: str, estimate: Estimate, meaning: str, *, rated: bool) -> str:
    everyone = estimate.standard_error == 0
    error = f"<small>{'exact' if everyone else f'± {estimate.standard_error:.4f}'}</small>"
    classes = f"measure {_grade(estimate.value, 'good', 'fair', 'poor')}" if rated else "measure"
    inside = element("h3", name) + element("b", f"{estimate.value:.4f} {error}")
    return element("div", inside + element("span", meaning, class_="soft small"), class_=classes)


def _stability(stability: Stability) -> str:
    disparity = stability.disparity
    rated = "good" if disparity <= _SAME else "fair" if disparity <= _ALIKE else "poor"
    inside = element("h3", "Seed disparity") + element("b", f"{disparity:.3f}")
    meaning = f"of {stability.seeds} seeds; 0 same, 1 unrelated"
    inside += element("span", meaning, class_="soft small")
    return element("div", inside, class_=f"measure {rated}")


def stage(view: MapView, columns: Sequence[str]) -> str:
    """Return the map's place and what stands beside it, for the script to fill."""
    tools = "".join(
        element(
            "button", name, class_="tool", type="button", data_mode=mode,
            aria_pressed=str(mode == "pan").lower(),
        )
        for mode, name in (("pan", "Move"), ("lasso", "Lasso"), ("select", "Box"))
    )  # fmt: skip
    tools += element("button", "Whole map", id="whole", type="button")
    place = element("div", tools, class_="tools", role="toolbar", aria_label="Pointer")
    drawn = f"Map of {_points(len(view.ids))}"
    place += element("div", "", id="map", role="application", aria_label=drawn, tabindex=0)
    place += element("p", "", id="shown", class_="count", aria_live="polite")
    beside = _colour(columns) + _SELECTION + _chosen(view)
    return element(
        "main", element("div", place, class_="stage") + element("aside", beside)
    ) + element("div", "", id="card")


def _colour(columns: Sequence[str]) -> str:
    options = "".join(
        element("option", escaped(cut(name)), value=at) for at, name in enumerate(columns)
    )
    options += element("option", "nothing", value=-1)
    fields = '<label for="colour">Colour by</label>' + element("select", options, id="colour")
    fields += '<label for="word">Find</label>'
    fields += element("input", "", id="word", type="search", placeholder="name or label")
    fields = element("div", fields.replace("</input>", ""), class_="fields")
    hits, legend = element("div", "", id="hits"), element("div", "", id="legend")
    return element("section", fields + hits + legend)


_SELECTION = (
    '<section id="selection" hidden><h3>Selected</h3><p><b id="many"></b></p>'
    '<p class="row"><button id="save" type="button">Save CSV</button>'
    '<button id="clear" type="button">Clear</button></p></section>'
)


def _chosen(view: MapView) -> str:
    hint = "Point at the map to see a point. Click one to keep it"
    hint += (
        " and see its nearest neighbours in the original features, with a line to each."
        if view.neighbours is not None
        else "."
    )
    inside = element("h3", "Point") + element("p", hint, id="hint", class_="soft small")
    inside += '<div id="chosen" aria-live="polite"></div>'
    inside += '<button id="let-go" type="button" hidden>Close</button>'
    return element("section", inside)


def below(view: MapView, columns: Mapping[str, Column]) -> str:
    """Return what stands below the map: points to doubt, and the features' own diagnostics."""
    sections = [_least_trusted(view, columns)]
    if view.diagnostics:
        sections += _diagnosed(view, view.diagnostics)
    return element("div", "".join(filter(None, sections)), class_="below")


def _least_trusted(view: MapView, columns: Mapping[str, Column]) -> str:
    if view.point_trust is None or not np.isfinite(view.point_trust).any():
        return ""
    known = np.flatnonzero(np.isfinite(view.point_trust))
    order = known[np.argsort(view.point_trust[known], kind="stable")]
    worst = [int(row) for row in order[:LEAST_TRUSTED] if view.point_trust[row] < 1]
    head = element("h2", "Least trustworthy points")
    if not worst:
        return element("section", head + element("p", "Every point checked is where it belongs."))
    label = columns.get("label")
    rows = [[_point(view, row), _name(label, row), f"{view.point_trust[row]:.3f}"] for row in worst]
    said = (
        f"The {len(worst)} lowest of {known.size:,} points checked. Around these the map shows "
        "neighbours that are none. Colour by trust to see where they are."
    )
    return element("section", head + element("p", said) + _table(("point", "label", "trust"), rows))


def _name(column: Column | None, row: int) -> str:
    if not isinstance(column, Categories) or column.codes[row] < 0:
        return ""
    return short(column.names[column.codes[row]])


def _point(view: MapView, row: int) -> str:
    picture = element("span", "", data_picture=row)
    name = short(view.ids[row])
    link = element("button", name, type="button", data_go=row, title=cut(view.ids[row]))
    return element("span", picture + link, class_="who")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already."""
    head = element("thead", element("tr", "".join(element("th", short(one)) for one in header)))
    body = "".join(element("tr", "".join(element("td", cell) for cell in row)) for row in rows)
    return element("div", element("table", head + element("tbody", body)), class_="scroll")


def _diagnosed(view: MapView, found: Diagnostics) -> list[str]:
    return [_features(found), _suspects(view, found), _leaks(view, found)]


def _features(found: Diagnostics) -> str:
    said = (
        f"Measured in the features, not on the map. Every split is judged by the rows of "
        f"{short(found.reference)}; that split itself by leaving out what is judged."
    )
    header = ("split", "rows", "labelled", "guessing", f"{found.neighbours}-NN", "linear probe")
    rows = [_split(score) for score in found.splits]
    inside = element("h2", "What the features know of the labels") + element("p", said)
    inside += table(header, rows)
    if found.silhouette:
        inside += element("p", f"Silhouette of the labels: {found.silhouette} (-1 to 1).")
    told = [f"{score.split}: {score.why}" for score in found.splits if score.why]
    told += found.notes
    if told:
        notes = "".join(element("li", short(one)) for one in told)
        inside += element("ul", notes, class_="notes soft small")
    return element("section", inside)


def _split(score: SplitScore) -> tuple[object, ...]:
    guess = "" if score.majority is None else f"{score.majority:.3f}"
    return (
        score.split, f"{score.rows:,}", f"{score.labelled:,}", guess,
        _share(score.neighbours), _share(score.probe),
    )  # fmt: skip


def _share(share: Share | None) -> str:
    return "unknown" if share is None else str(share)


def _suspects(view: MapView, found: Diagnostics) -> str:
    if not found.suspect_count:
        return ""
    rows = [
        [
            _point(view, one.row), short(one.label), short(one.suggested),
            f"{one.label_probability:.2f}", f"{one.suggested_probability:.2f}",
            f"{one.agreeing:.0%}",
        ]
        for one in found.suspects[:_SHOWN]
    ]  # fmt: skip
    said = (
        f"{found.suspect_count:,} of {found.rows:,} rows look mislabelled by confident learning "
        "(Northcutt et al. 2021): a model that has not seen them is sure of another label. The "
        f"surest come first; look before you relabel{_worth(found)}."
    )
    header = ("point", "label", "looks like", "p(label)", "p(other)", "neighbours agree")
    head = element("h2", "Labels to doubt") + element("p", said)
    return element("section", head + _table(header, rows))


def _worth(found: Diagnostics) -> str:
    judge = next((score.probe for score in found.splits if score.split == found.reference), None)
    return f": that model is right of {judge.value:.0%} of the rows" if judge else ""


def _leaks(view: MapView, found: Diagnostics) -> str:
    if not found.leak_count:
        return ""
    rows = [
        [
            _point(view, one.row), short(one.split), _point(view, one.other),
            short(one.other_split), f"{one.cosine:.4f}",
        ]
        for one in found.leaks[:_SHOWN]
    ]  # fmt: skip
    pairs = "pair" if found.leak_count == 1 else "pairs"
    said = (
        f"{found.leak_count:,} {pairs} of rows in different splits are the same or nearly so: a "
        "score on one split is then partly a memory of the other."
    )
    header = ("point", "split", "its twin", "split", "cosine")
    head = element("h2", "Leaks between splits") + element("p", said)
    return element("section", head + _table(header, rows))
