"""The shell of every page: one self-contained HTML text that loads nothing from anywhere."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

LONGEST_TEXT = 300
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
    allowed = [f"style-src {source(styles)}", *([f"script-src {source(script)}"] if script else [])]
    run = f"<script>{script}</script>\n" if script else ""
    return document(title, f"{body}\n{run}", allowed=allowed, head=f"<style>{styles}</style>")


def document(title: str, body: str, *, allowed: Sequence[str], head: str) -> str:
    """Return a page that loads nothing; `body` and `head` are HTML, styles and scripts included.

    `allowed` are the lines of its content security policy that say which of those may act.
    """
    closed = ("base-uri 'none'", "form-action 'none'")
    policy = "; ".join(["default-src 'none'", "img-src data:", *allowed, *closed])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escaped(cut(title))}</title>\n{head}\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def source(content: str) -> str:
    """Return what allows the inline style or script `content` in a content security policy."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{b64encode(digest).decode()}'"


def visible(content: object) -> str:
    """Return `content` as text in which what does not print is written as Python writes it."""
    told = str(content)
    if told.isprintable():
        return told
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in told)


def cut(content: object) -> str:
    """Return `content` as visible text, its end left out when it is very long."""
    shown = visible(content)
    return shown if len(shown) <= LONGEST_TEXT else f"{shown[: LONGEST_TEXT - 1]}…"


def escaped(content: object) -> str:
    """Return `content` as HTML text, for places that take no element, such as options."""
    return escape(visible(content))


def text(content: object) -> str:
    """Return `content` as HTML that shows it and means nothing else, whatever way it is read."""
    return f"<bdi>{escaped(content)}</bdi>"


def short(content: object) -> str:
    """Return `text` of `content`, its end left out when it is very long."""
    return text(cut(content))


def attribute(name: str, value: object) -> str:
    """Return an attribute: `class_` is class, `data_order` is data-order; None is none at all."""
    if value is None:
        return ""
    return f' {name.rstrip("_").replace("_", "-")}="{escaped(value)}"'


def element(name: str, content: str = "", **attributes: object) -> str:
    """Return an element around `content`, which is HTML already."""
    told = "".join(attribute(one, value) for one, value in attributes.items())
    return f"<{name}{told}>{content}</{name}>"


def picture(jpeg: bytes | None, name: str) -> str:
    """Return a JPEG written into the page, or a box that says there is none."""
    if not jpeg:
        return '<span class="none">no picture</span>'
    data = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
    return f'<img src="{data}" alt="{escaped(cut(name))}" loading="lazy">'


def table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a table of plain values; None is an empty cell."""
    head = element("tr", "".join(element("th", text(cell)) for cell in header))
    lines = (
        "".join(element("td", "" if cell is None else text(cell)) for cell in row) for row in rows
    )
    body = "".join(element("tr", line) for line in lines)
    return element("table", element("thead", head) + element("tbody", body))
