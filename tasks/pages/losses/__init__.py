"""The page of a loss matrix: the heatmap in the order of its groups, and what the groups mean."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.pages.maps.coding import array_block, json_block
from tasks.pages.maps.palette import class_colours
from tasks.pages.shell import element, page, picture, table, text

MOST_SHOWN = 200
"""Images in the heatmap; of more, so many evenly taken along the order."""
OUTLINES_PX = 1280
"""Side of the canvas of the groups' outlines: two pixels of a screen's."""
MOST_CLASSES = 20
"""Classes with a colour, the most frequent; the others share the last."""
OTHERS = "others"
_STYLE = """
.stage { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.map { width: min(40rem, 100%); font-size: .9rem; }
.map canvas { display: block; width: 100%; image-rendering: pixelated; }
.square { position: relative; }
#heatmap { aspect-ratio: 1; touch-action: none; cursor: crosshair; }
#outlines { position: absolute; inset: 0; aspect-ratio: 1; pointer-events: none; }
#mark { position: absolute; pointer-events: none; box-shadow: 0 0 0 2px #000, 0 0 0 4px #fff; }
#classes { height: .8rem; margin-top: .3rem; }
#scale { display: flex; gap: .6rem; align-items: center; margin-top: .5rem; }
#scale i { flex: 1; height: .7rem; }
#keys { display: flex; flex-wrap: wrap; gap: .2rem .9rem; margin-top: .4rem; }
#told { min-width: 16rem; overflow-wrap: anywhere; flex: 1; }
#told dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .8rem; }
#told dd { margin: 0; font-variant-numeric: tabular-nums; }
.medoids { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figure img { max-width: 100%; height: auto; }
figcaption { overflow-wrap: anywhere; font-size: .9rem; }
.key { display: inline-block; width: .8rem; height: .8rem; margin-right: .3rem; }
"""


@dataclass(frozen=True, eq=False)
class MedoidView:
    """The image in the middle of a group."""

    group: int
    size: int
    name: str
    jpeg: bytes | None
    """With its detections drawn."""
    found: Mapping[str, int]
    """How many detections of each class."""
    classes: Sequence[str] = ()
    """What the group is rich in, in words."""


@dataclass(frozen=True, eq=False)
class LossView:
    """What the page shows; rows and columns stand in the order of `names`."""

    title: str
    facts: Sequence[str]
    names: Sequence[str]
    groups: NDArray[np.int64]
    """-1: in no group."""
    classes: Sequence[str | None]
    """What each image is of; None: not known."""
    order: NDArray[np.int64]
    """Places of the images along the heatmap."""
    directed: NDArray[np.float32]
    """(N, N) what the heatmap shows."""
    measure: str
    """What that is, in a word."""
    losses: Mapping[str, NDArray[np.float32]]
    """(N, N) each component."""
    medoids: Sequence[MedoidView]
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[object]]]] = field(default=())
    """Title, header and rows."""


def loss_page(view: LossView) -> str:
    """Return the page of `view`, one HTML text that loads nothing."""
    shown = _shown(view.order)
    script = (Path(__file__).parent / "heatmap.js").read_text(encoding="utf-8")
    body = element("h1", text(view.title))
    body += "".join(element("p", text(fact)) for fact in view.facts)
    if len(shown) < len(view.order):
        told = f"The heatmap shows {len(shown)} of {len(view.order)} images, evenly taken."
        body += element("p", text(told), class_="soft")
    body += element("h2", "Every head against every image's detections")
    body += _stage(len(shown))
    body += element("h2", "The image in the middle of each group")
    body += element("div", "".join(map(_medoid, view.medoids)), class_="medoids")
    for title, header, rows in view.tables:
        body += element("h2", text(title)) + table(header, rows)
    return page(view.title, body + _blocks(view, shown), style=_STYLE, script=script)


def _shown(order: NDArray[np.int64]) -> NDArray[np.int64]:
    if len(order) <= MOST_SHOWN:
        return order
    steps = np.linspace(0, len(order) - 1, MOST_SHOWN).round().astype(np.int64)
    return np.asarray(order[steps], np.int64)


def _stage(count: int) -> str:
    canvas = element(
        "canvas",
        "",
        id="heatmap",
        width=count,
        height=count,
        tabindex=0,
        role="img",
        aria_label=f"Heatmap of {count} by {count} images; arrow keys move the cell that is read",
    )
    hint = "Point at a cell, or focus the map and use the arrow keys."
    told = element("div", element("p", hint, class_="soft"), id="told", aria_live="polite")
    outlines = element("canvas", "", id="outlines", width=OUTLINES_PX, height=OUTLINES_PX)
    mark = element("div", "", id="mark", hidden=True)
    square = element("div", canvas + outlines + mark, class_="square")
    strip = element("canvas", "", id="classes", width=count, height=1)
    scale, keys = element("div", "", id="scale"), element("div", "", id="keys")
    drawn = element("div", square + strip + scale + keys, class_="map")
    return element("div", drawn + told, class_="stage")


def _medoid(view: MedoidView) -> str:
    name = f"{view.name}, with its detections"
    found = ", ".join(f"{count} {kind}" for kind, count in view.found.items()) or "nothing found"
    lines = [
        element("strong", text(f"Group {view.group}: {view.size} images")),
        text(view.name),
        text(found),
        *(text(one) for one in view.classes),
    ]
    caption = element("figcaption", "<br>".join(lines))
    return element("figure", picture(view.jpeg, name) + caption, class_="medoid")


def _blocks(view: LossView, shown: NDArray[np.int64]) -> str:
    count = int(view.groups.max(initial=-1)) + 1
    colours = class_colours(max(count, 1))
    kinds = _kinds(view.classes)
    content: dict[str, Any] = {
        "measure": view.measure,
        "names": [view.names[place] for place in shown],
        "groups": view.groups[shown].tolist(),
        "colours": [colours[group % len(colours)] for group in range(count)],
        "components": list(view.losses),
        "classes": [view.classes[place] for place in shown],
        "kinds": kinds,
        "kind_colours": list(class_colours(max(len(kinds), 1)))[: len(kinds)],
    }
    square = np.ix_(shown, shown)
    blocks = [json_block("loss-data", content), array_block("directed", view.directed[square])]
    blocks += [
        array_block(f"losses-{place}", losses[square])
        for place, losses in enumerate(view.losses.values())
    ]
    return "\n".join(blocks)


def _kinds(classes: Sequence[str | None]) -> list[str]:
    """Return the classes that have a colour, the most frequent first."""
    counted = Counter(name for name in classes if name is not None)
    names = sorted(counted, key=lambda name: (-counted[name], name))
    return names if len(names) <= MOST_CLASSES else [*names[: MOST_CLASSES - 1], OTHERS]
