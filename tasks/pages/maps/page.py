"""A map as one HTML file: offline, and with nothing in it that data could run.

The content security policy allows two scripts by their hashes, Plotly's and ours, no inline style,
and lets nothing load. Plotly's WebGL layer compiles its drawing commands, so that those two may
call eval; but Plotly sees coordinates, colours and sizes, never a name: names go through
`textContent` or are escaped here.
"""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from conf.errors import RecipeError
from tasks.pages.maps.atlas import ACROSS, Atlas, pack
from tasks.pages.maps.coding import array_block, bytes_block, json_block
from tasks.pages.maps.palette import MOST, class_colours, ramp
from tasks.pages.maps.panels import below, heading, stage
from tasks.pages.maps.view import Categories, Column, MapView, Numbers
from tasks.pages.shell import document, element, source, visible

ATLAS_LIMIT_BYTES = 32_000_000
_SCRIPTS = ("data.js", "chart.js", "moving.js", "panels.js")
_LISTED_AS_NAMED = 30
_SINGLE = "#3f78bd"


def render_map(view: MapView, *, atlas_limit_bytes: int = ATLAS_LIMIT_BYTES) -> str:
    """Return the page of `view`, one self-contained HTML text.

    Pictures take at most `atlas_limit_bytes` of it. Raises RecipeError where Plotly is missing.
    """
    atlas = pack(view.thumbnails, len(view.ids), atlas_limit_bytes) if view.thumbnails else None
    columns = columns_of(view)
    notes = (*view.notes, *_unplaced(view), *((atlas.note,) if atlas and atlas.note else ()))
    app = element("div", heading(view, notes) + stage(view, list(columns)), class_="app")
    body = app + below(view, columns) + _blocks(view, columns, atlas)
    return _page(view.title, body)


def columns_of(view: MapView) -> dict[str, Column]:
    """Return what points can be coloured by: the label first, the trust of single points last."""
    told = dict(sorted(view.columns.items(), key=lambda named: named[0] != "label"))
    if view.point_trust is not None and "trust" not in told:
        told["trust"] = Numbers(view.point_trust)
    return told


def _blocks(view: MapView, columns: dict[str, Column], atlas: Atlas | None) -> str:
    placed = view.coords[np.isfinite(view.coords).all(axis=1)]
    coords = np.where(np.isfinite(view.coords).all(axis=1, keepdims=True), view.coords, np.nan)
    content = {
        "ids": view.ids,
        "neighbours": 0 if view.neighbours is None else view.neighbours.shape[1],
        "columns": [_column(name, column) for name, column in columns.items()],
        "atlas": {"tile": atlas.tile_px, "across": ACROSS} if atlas else None,
        "marker": _marker(len(placed)),
        "single": _SINGLE,
        **_range(placed),
    }
    arrays = {"coords": coords, "neighbours": view.neighbours, "distances": view.distances}
    arrays["slots"] = atlas.slots if atlas and atlas.sheets else None
    for at, column in enumerate(columns.values()):
        values = column.codes if isinstance(column, Categories) else column.values
        arrays[f"column-{at}"] = values
    blocks = [json_block("map-data", content)]
    blocks += [array_block(name, array) for name, array in arrays.items() if array is not None]
    blocks += [
        bytes_block(f"sheet-{at}", sheet) for at, sheet in enumerate(atlas.sheets if atlas else ())
    ]
    return "\n".join(blocks)


def _column(name: str, column: Column) -> dict[str, Any]:
    if isinstance(column, Numbers):
        finite = column.values[np.isfinite(column.values)]
        low, high = np.quantile(finite, (0.01, 0.99)) if finite.size else (0.0, 1.0)
        colours = ramp("trust" if name == "trust" else "score")
        missing = int(column.values.size - finite.size)
        beyond = [bool((finite < low).any()), bool((finite > high).any())]
        return {"name": name, "low": float(low), "high": float(high), "beyond": beyond,
                "ramp": colours, "missing": missing}  # fmt: skip
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.names))
    by_count = np.argsort(-counts, kind="stable")
    used = int((counts > 0).sum())
    listed = by_count[:used] if used > _LISTED_AS_NAMED else np.flatnonzero(counts)
    colours = class_colours(len(listed))
    own = {code: colours[at % MOST] for at, code in enumerate(listed.tolist())}
    return {
        "name": name, "names": column.names, "counts": counts.tolist(), "listed": listed.tolist(),
        "colours": [own.get(code) for code in range(len(column.names))],
        "missing": int((column.codes < 0).sum()),
    }  # fmt: skip


def _marker(points: int) -> dict[str, float]:
    """Return size and opacity that let single points be seen and crowds be told from them."""
    crowd = np.log10(max(points, 1))
    size = float(np.interp(crowd, (1, 2.5, 3.5, 4.7, 5.5), (12, 9, 6.5, 3.8, 2.4)))
    opacity = float(np.interp(crowd, (2, 3.5, 4.7, 5.5), (0.95, 0.85, 0.7, 0.5)))
    return {"size": round(size, 2), "opacity": round(opacity, 2)}


def _range(placed: "np.ndarray[Any, Any]") -> dict[str, Any]:
    if not len(placed):
        return {"range": {"x": [-1, 1], "y": [-1, 1]}, "extent": 2.0}
    low, high = placed.min(axis=0).astype(float), placed.max(axis=0).astype(float)
    extent = float((high - low).max()) or 1.0
    pad = 0.05 * extent
    spans = [[float(low[at] - pad), float(high[at] + pad)] for at in (0, 1)]
    spans[1][1] += 1.5 * pad  # the buttons stand above the points, not on them
    return {"range": {"x": spans[0], "y": spans[1]}, "extent": extent}


def _unplaced(view: MapView) -> tuple[str, ...]:
    lost = np.flatnonzero(~np.isfinite(view.coords).all(axis=1))
    if not lost.size:
        return ()
    names = ", ".join(visible(view.ids[row]) for row in lost[:3])
    points, have = ("point", "has") if lost.size == 1 else ("points", "have")
    more = ", ..." if lost.size > 3 else ""
    return (f"{lost.size:,} {points} {have} no place on this map: {names}{more}",)


def _page(title: str, body: str) -> str:
    style, script, plotly = _style(), _script(), plotly_script()
    allowed = [
        # The empty style is the one that Plotly fills through the CSSOM.
        f"style-src {source(style)} {source('')}",
        f"script-src {source(plotly)} {source(script)} 'unsafe-eval'",
    ]
    body += f"<script>{plotly}</script>\n<script>{script}</script>\n"
    head = f"<style>{style}</style>{_placeholders(plotly)}"
    return document(title, body, allowed=allowed, head=head)


@cache
def plotly_script() -> str:
    """Return the script of the installed Plotly, from its package; it is not imported."""
    found = find_spec("plotly")
    if found is None or found.origin is None:
        raise RecipeError(
            "The page of a map needs Plotly, which is not installed: "
            "pip install 'featuremill[maps]'"
        )
    path = Path(found.origin).parent / "package_data" / "plotly.min.js"
    return path.read_text(encoding="utf-8")


def _placeholders(plotly: str) -> str:
    """Return empty styles of the names that the script would fill by text, for its street maps:
    it leaves those that exist alone, and no policy is tried."""
    names = sorted(set(re.findall(r'document\.getElementById\("([0-9a-f]{64})"\)', plotly)))
    return "".join(f'<style id="{name}"></style>' for name in names)


@cache
def _style() -> str:
    return _file("map.css")


@cache
def _script() -> str:
    return '(() => {\n"use strict";\n' + "\n".join(map(_file, _SCRIPTS)) + "})();\n"


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
