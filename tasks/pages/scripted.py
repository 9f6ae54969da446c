"""A self-contained HTML page that runs one script of our own, and nothing else.

What comes from data goes through `text` or `element`; style and script are allowed by their
hashes, so that whatever slips through neither runs nor loads.
"""

import base64
import hashlib
import html
from collections.abc import Iterable, Mapping

LONGEST_TEXT = 300
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1400px; padding: 1rem; }
h1 { font-size: 1.3rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
p { margin: .25rem 0; }
table { border-collapse: collapse; }
td, th { border-bottom: 1px solid var(--line); padding: .2rem .6rem .2rem 0; text-align: left; }
td { overflow-wrap: anywhere; vertical-align: top; }
.soft { opacity: .7; }
"""


def text(value: object) -> str:
    """Return `value` as HTML text: escaped, in a direction of its own, cut when it is very long."""
    shown = visible(str(value))
    shown = shown if len(shown) <= LONGEST_TEXT else f"{shown[: LONGEST_TEXT - 1]}…"
    return f"<bdi>{html.escape(shown)}</bdi>"


def visible(value: str) -> str:
    """Return `value` with its line breaks and invisible characters as U+FFFD, spaces kept."""
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)


def element(name: str, inside: str, **attributes: object) -> str:
    """Return an element around `inside`, which is HTML; attributes that are None are left out.

    A trailing underscore is dropped from an attribute's name, others become dashes.
    """
    named: Mapping[str, object] = {
        n.rstrip("_").replace("_", "-"): v for n, v in attributes.items()
    }
    told = "".join(
        f' {n}="{html.escape(visible(str(v)), quote=True)}"'
        for n, v in named.items()
        if v is not None
    )
    return f"<{name}{told}>{inside}</{name}>"


def picture(jpeg: bytes | None, alt: str) -> str:
    """Return a small JPEG as part of the page, or a place without one."""
    if not jpeg:
        return '<span class="none">no image</span>'
    data = base64.b64encode(jpeg).decode()
    name = html.escape(visible(alt[:200]), quote=True)
    return f'<img alt="{name}" loading="lazy" src="data:image/jpeg;base64,{data}">'


def table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a table of plain values."""
    head = "".join(f"<th>{text(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{text(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def scripted_page(title: str, body: str, *, style: str, script: str) -> str:
    """Return a whole page; `body` is HTML, `title` plain text."""
    styles = _STYLE + style
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src {_hash(styles)}",
            f"script-src {_hash(script)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{html.escape(visible(title[:200]))}</title><style>{styles}</style></head>\n"
        f"<body>{body}<script>{script}</script></body></html>\n"
    )


def _hash(inline: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"
