"""A lineage as a drawing: what an artifact was made of on the left, what was made of it right."""

from storage.home import Lineage, Node
from tasks.pages.home import address
from tasks.pages.shell import element, escaped, visible

_WIDE, _HIGH = 190, 50
_APART, _BETWEEN = 84, 16
_LETTERS = 27


def drawing(found: Lineage) -> str:
    """Return the lineage as an SVG whose boxes lead to the artifacts; empty of a lone one."""
    if len(found.nodes) <= 1:
        return ""
    columns = [node.column for node in found.nodes]
    first, tallest = min(columns), max(columns.count(one) for one in columns)
    places = {node.key: _place(node, first, columns.count(node.column), tallest)
              for node in found.nodes}  # fmt: skip
    lines = "".join(_line(places[a], places[b], name) for a, b, name in found.edges)
    boxes = "".join(_box(node, *places[node.key]) for node in found.nodes)
    width = (max(columns) - first + 1) * (_WIDE + _APART) - _APART + 4
    height = tallest * (_HIGH + _BETWEEN) - _BETWEEN + 20
    picture = element("svg", lines + boxes, width=width, height=height, role="img",
                      viewBox=f"-2 -12 {width} {height}", aria_label="Lineage")  # fmt: skip
    more = f"{found.left_out:,} more artifacts belong to it." if found.left_out else ""
    rest = element("p", more, class_="soft") if more else ""
    return element("div", picture, class_="lineage") + rest


def _place(node: Node, first: int, count: int, tallest: int) -> tuple[float, float]:
    top = (tallest - count) * (_HIGH + _BETWEEN) / 2
    return (node.column - first) * (_WIDE + _APART), top + node.place * (_HIGH + _BETWEEN)


def _line(start: tuple[float, float], end: tuple[float, float], name: str) -> str:
    x1, y1, x2, y2 = start[0] + _WIDE, start[1] + _HIGH / 2, end[0], end[1] + _HIGH / 2
    bend = (x1 + x2) / 2
    way = f"M{x1:g} {y1:g}C{bend:g} {y1:g} {bend:g} {y2:g} {x2:g} {y2:g}"
    return element("path", element("title", escaped(name)), d=way)


def _box(node: Node, x: float, y: float) -> str:
    name = node.name if node.name != node.key else node.key.rpartition("-")[2]
    inside = (
        element("title", escaped(f"{node.name} {node.key}"))
        + element("rect", width=_WIDE, height=_HIGH, rx=8)
        + _words(node.kind, 21, class_="kind")
        + _words(name, 38)
    )
    group = element("g", inside, transform=f"translate({x:g} {y:g})",
                    class_="here" if node.column == 0 else None)  # fmt: skip
    return element("a", group, href=address("artifact", node.key))


def _words(words: str, y: int, **attributes: object) -> str:
    """Return one line of text in an SVG, where there is no `bdi`."""
    shown = visible(words)
    shown = shown if len(shown) <= _LETTERS else f"{shown[: _LETTERS - 1]}…"
    return element("text", escaped(shown), x=12, y=y, **attributes)
