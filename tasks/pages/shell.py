"""The shell of every page: one self-contained HTML text that loads nothing from anywhere."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 72rem;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } h3 { font-size: 1rem; }
table { border-collapse: collapse; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid var(--line); } .soft { opacity: .75; font-size: .9rem; }
svg { max-width: 100%; height: auto; }
"""


def page(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """Return a whole HTML page; `body` is HTML already, `title` is plain text.

    Its content security policy allows this style, this script, and images written into the page;
    no request leaves it, and nothing that a name smuggles in is run.
    """
    styles = _STYLE + style
    policy = f"default-src 'none'; img-src data:; style-src {_source(styles)}"
    policy += f"; script-src {_source(script)}" if script else ""
    policy += "; base-uri 'none'; form-action 'none'"
    run = f"<script>{script}</script>\n" if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(visible(title))}</title>\n<style>{styles}</style>\n</head>\n"
        f"<body>\n{body}\n{run}</body>\n</html>\n"
    )


def _source(content: str) -> str:
    digest = b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def visible(content: object) -> str:
    """Return `content` as text in which what does not print is written as Python writes it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(content))


def text(content: object) -> str:
    """Return `content` as HTML that shows it and means nothing else, whatever way it is read."""
    return f"<bdi>{escape(visible(content))}</bdi>"


def attribute(name: str, value: object) -> str:
    """Return an attribute: `class_` is class, `data_order` is data-order; None is none at all."""
    if value is None:
        return ""
    return f' {name.rstrip("_").replace("_", "-")}="{escape(visible(value))}"'


def element(name: str, content: str = "", **attributes: object) -> str:
    """Return an element around `content`, which is HTML already."""
    told = "".join(attribute(one, value) for one, value in attributes.items())
    return f"<{name}{told}>{content}</{name}>"


def picture(jpeg: bytes | None, name: str) -> str:
    """Return a JPEG written into the page, or a box that says there is none."""
    if jpeg is None:
        return '<span class="none">no picture</span>'
    source = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
    return f'<img src="{source}" alt="{escape(visible(name))}" loading="lazy">'


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table of plain values; None is an empty cell."""
    head = "".join(element("th", text(cell)) for cell in header)
    lines = [
        "".join(element("td", "" if cell is None else text(cell)) for cell in row) for row in rows
    ]
    return element("table", element("tr", head) + "".join(element("tr", row) for row in lines))
