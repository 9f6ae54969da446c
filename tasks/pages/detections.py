"""The page of detections: images with boxes and masks, what is known beside what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.pages.maps.palette import class_colours
from tasks.pages.shell import attribute, element, escaped, page, picture, short, text

_STYLE = """
body { max-width: 90rem; }
.bar { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; position: sticky; top: 0;
  background: Canvas; padding: .6rem 0; border-bottom: 1px solid var(--line); z-index: 1; }
#images { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(40rem, 100%), 1fr));
  gap: 1.2rem; padding-top: 1rem; }
article { border: 1px solid var(--line); border-radius: 8px; padding: .7rem; min-width: 0; }
article h2 { font-size: .95rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .6rem; }
figure { margin: 0; min-width: 0; } figcaption { font-size: .85rem; }
.stack { position: relative; } .stack img { width: 100%; display: block; }
.stack svg { position: absolute; inset: 0; width: 100%; height: 100%; }
rect { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
rect.wrong { stroke-dasharray: 5 3; } path { fill-opacity: .4; }
svg text { font-size: 9px; paint-order: stroke; stroke: #fffc; stroke-width: 2px; }
svg.nomasks path, svg.noboxes rect, svg.noboxes text, [hidden] { display: none; }
.none { display: block; aspect-ratio: 1; background: var(--soft); text-align: center; }
"""

_SCRIPT = """
"use strict";
const at = id => document.getElementById(id);
function arrange() {
  const named = at("class").value, least = Number(at("least").value) / 100;
  at("told").textContent = least.toFixed(2);
  let count = 0;
  for (const one of document.querySelectorAll("svg g")) {
    const sure = one.getAttribute("data-confidence");
    const fits = (named === "" || one.getAttribute("data-class") === named)
      && (sure === null || Number(sure) >= least);
    one.toggleAttribute("hidden", !fits);
    count += fits && sure !== null;
  }
  at("shown").textContent = count;
  for (const svg of document.querySelectorAll("svg")) {
    svg.classList.toggle("nomasks", !at("masks").checked);
    svg.classList.toggle("noboxes", !at("boxes").checked);
  }
  for (const card of document.querySelectorAll("article"))
    card.hidden = named !== "" && card.querySelector("g:not([hidden])") === null;
}
for (const id of ["class", "least", "masks", "boxes"])
  at(id).addEventListener("input", arrange);
arrange();
"""


@dataclass(frozen=True, eq=False)
class Shape:
    """An object, found or known."""

    name: str
    """Its class."""
    box_px: Sequence[float]
    """x1, y1, x2, y2 in pixels of the picture."""
    mask: NDArray[np.bool_] | None = None
    """At the size of the picture."""
    confidence: float | None = None
    """None of what is known."""
    is_matched: bool | None = None
    """Whether it is an object that is known, or one that was found; None where none can tell."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One image."""

    name: str
    jpeg: bytes | None
    size_px: tuple[int, int]
    """Width and height of the picture."""
    found: Sequence[Shape]
    known: Sequence[Shape] | None
    """None where nothing is known of the image."""
    facts: Sequence[tuple[str, float | None]] = ()
    """Such as losses and metrics."""


def detection_page(title: str, facts: Sequence[str], pictures: Sequence[Picture]) -> str:
    """Return the page of `pictures`, one HTML text that loads nothing. A dashed box is a detection
    that is no known object, or an object that was not found."""
    shapes = [shape for one in pictures for shape in (*one.found, *(one.known or ()))]
    names = sorted({shape.name for shape in shapes})
    palette = class_colours(len(names))
    colours = {name: palette[place % len(palette)] for place, name in enumerate(names)}
    count = sum(len(one.found) for one in pictures)
    body = element("h1", text(title)) + "".join(element("p", text(fact)) for fact in facts)
    told = (
        f'<span id="shown">{count}</span> of {count} detections shown. Dashed: a detection that is '
        "no known object, or an object that was not found."
    )
    body += element("p", told, class_="soft") + _controls(names)
    cards = "".join(_card(one, colours) for one in pictures)
    body += f'<main id="images">{cards}</main>'
    return page(title, body, style=_STYLE, script=_SCRIPT)


def _controls(names: Sequence[str]) -> str:
    options = "".join(element("option", escaped(name), value=name) for name in names)
    return (
        '<div class="bar"><label>Class <select id="class"><option value="">all</option>'
        f"{options}</select></label>"
        '<label>Confidence from <input id="least" type="range" min="0" max="100" value="0"> '
        '<span id="told">0.00</span></label>'
        '<label><input id="masks" type="checkbox" checked> masks</label>'
        '<label><input id="boxes" type="checkbox" checked> boxes</label></div>'
    )


def _card(one: Picture, colours: Mapping[str, str]) -> str:
    known = "nothing is known" if one.known is None else f"known: {len(one.known)}"
    pair = _figure(one, one.known or (), known, colours)
    pair += _figure(one, one.found, f"found: {len(one.found)}", colours)
    facts = " · ".join(f"{name} {value:.3f}" for name, value in one.facts if value is not None)
    return element(
        "article",
        element("h2", short(one.name))
        + element("div", pair, class_="pair")
        + element("p", text(facts), class_="soft"),
    )


def _figure(one: Picture, shapes: Sequence[Shape], told: str, colours: Mapping[str, str]) -> str:
    width_px, height_px = one.size_px
    drawn = "".join(_shape(shape, colours[shape.name]) for shape in shapes)
    svg = f'<svg viewBox="0 0 {width_px} {height_px}" preserveAspectRatio="none">{drawn}</svg>'
    stack = element("div", picture(one.jpeg, one.name) + svg, class_="stack")
    return element("figure", stack + element("figcaption", text(told)))


def _shape(shape: Shape, colour: str) -> str:
    x1, y1, x2, y2 = shape.box_px
    sure = "" if shape.confidence is None else f" {shape.confidence:.2f}"
    wrong = attribute("class", "wrong" if shape.is_matched is False else None)
    inside = element("title", escaped(shape.name + sure))
    if shape.mask is not None:
        inside += f'<path fill="{colour}" d="{run_path(shape.mask)}"/>'
    inside += (
        f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" '
        f'stroke="{colour}"{wrong}/>'
    )
    if shape.confidence is not None:
        over = y1 - 2 if y1 > 10 else y2 + 8
        inside += f'<text x="{x1:.1f}" y="{over:.1f}" fill="{colour}">{sure.strip()}</text>'
    return element("g", inside, data_class=shape.name, data_confidence=shape.confidence)


def run_path(mask: NDArray[np.bool_]) -> str:
    """Return the path of an SVG that covers the pixels of `mask`, a bar for each run in a row."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    steps = np.diff(padded, axis=1)
    (rows, starts), (_, ends) = np.nonzero(steps == 1), np.nonzero(steps == -1)
    bars = zip(rows.tolist(), starts.tolist(), (ends - starts).tolist(), strict=True)
    return "".join(f"M{x} {y}h{long}v1h-{long}z" for y, x, long in bars)
