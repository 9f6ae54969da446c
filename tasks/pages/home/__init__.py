"""The pages of `featuremill serve`: HTML from rows, no script, one style sheet.

Everything that comes from a store is escaped here; what may load at all is said by the headers of
`flows/web`.
"""

import time
from calendar import timegm
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlencode

from storage.home import StoreView
from tasks.pages.shell import element, escaped, text

NAVIGATION = (
    ("Overview", "/"), ("Artifacts", "/artifacts"), ("Images", "/images"), ("Search", "/search"),
    ("Runs", "/runs"), ("Unfinished", "/unfinished"),
)  # fmt: skip
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
    '<rect width="16" height="16" rx="4" fill="#0b6e6e"/>'
    '<path d="M4 12V4h8M4 8h6" fill="none" stroke="#fff" stroke-width="2"/></svg>'
)
_AGES = (("d", 86400), ("h", 3600), ("min", 60))


@cache
def style() -> str:
    """Return the style sheet of all pages."""
    return (Path(__file__).parent / "home.css").read_text(encoding="utf-8")


def home_page(title: str, body: str, *, active: str = "/", store: str = "") -> str:
    """Return a whole page; `body` is HTML already, `title` and `store` are plain text."""
    items = "".join(
        element("a", name, href=href, aria_current="page" if href == active else None)
        for name, href in NAVIGATION
    )
    brand = '<a class="brand" href="/">feature<span>mill</span></a>'
    head = element("header", brand + element("nav", items, aria_label="Pages") + element(
        "span", text(store), class_="store", title=store), class_="top")  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escaped(title)} · featuremill</title>"
        '<link rel="stylesheet" href="/style.css"><link rel="icon" href="/icon.svg"></head>\n'
        f"<body>{head}<main>{body}</main></body></html>\n"
    )


def store_page(view: StoreView, title: str, body: str, active: str) -> str:
    """Return a whole page that shows the store of `view`."""
    return home_page(title, body, active=active, store=str(view.store.path))


def heading(title: str, *, over: str = "", under: str = "") -> str:
    """Return a page's heading; `over` and `under` are HTML already."""
    above = element("p", over, class_="over") if over else ""
    below = element("p", under, class_="under") if under else ""
    return element("div", above + element("h1", text(title)) + below, class_="heading")


def link(content: str, *path: str, **query: object) -> str:
    """Return a link to the page at `path`, whose steps are quoted; `content` is HTML already."""
    return element("a", content, href=address(*path, **query))


def address(*path: str, **query: object) -> str:
    """Return the address of a page of this server; what is None or empty is left out."""
    steps = "/" + "/".join(quote(step, safe="") for step in path)
    told = {name.rstrip("_"): value for name, value in query.items() if value not in (None, "")}
    return f"{steps}?{urlencode(told)}" if told else steps


def chip(word: str, tone: str = "") -> str:
    """Return a small label; the tone is "good", "busy", "bad" or none."""
    return element("span", text(word), class_=f"chip {tone}".strip())


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()
) -> str:
    """Return a table whose cells are HTML already; columns `numbers` stand to the right."""

    def line(cells: Sequence[str], name: str) -> str:
        return element("tr", "".join(
            element(name, cell, class_="number" if at in numbers else None)
            for at, cell in enumerate(cells)))  # fmt: skip

    body = "".join(line(row, "td") for row in rows)
    inside = element("thead", line([text(cell) for cell in header], "th")) + element("tbody", body)
    return element("div", element("table", inside), class_="scroll")


def facts(told: Mapping[str, str]) -> str:
    """Return names with their values, which are HTML already."""
    pairs = (element("div", element("dt", text(k)) + element("dd", v)) for k, v in told.items())
    return element("dl", "".join(pairs), class_="facts")


def pager(page: int, pages: int, *path: str, **query: object) -> str:
    """Return links to the pages before and after; nothing where there is only one."""
    if pages <= 1:
        return ""
    before = link("← Newer" if path[0] in {"artifacts", "runs"} else "← Before", *path,
                  **query, page=page - 1 if page > 2 else None) if page > 1 else ""  # fmt: skip
    after = link("Older →" if path[0] in {"artifacts", "runs"} else "Next →", *path,
                 **query, page=page + 1) if page < pages else ""  # fmt: skip
    here = element("span", f"Page {page:,} of {pages:,}")
    return element("nav", f"<span>{before}</span>{here}<span>{after}</span>", class_="pager",
                   aria_label="More")  # fmt: skip


def empty(title: str, hint: str) -> str:
    """Return what stands where nothing is; `hint` is HTML already."""
    return element("div", element("h2", text(title)) + element("p", hint), class_="empty")


def seconds(value: float) -> str:
    """Return a duration for people."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def age(then: float | str) -> str:
    """Return how long ago a moment was, as HTML that tells the moment, too.

    The moment is seconds since 1970, or the text that manifests have.
    """
    if isinstance(then, str):
        try:
            then = timegm(time.strptime(then, "%Y-%m-%dT%H:%M:%SZ"))
        except ValueError:
            return text(then)
    passed = max(0.0, time.time() - then)
    unit, factor = next(((u, f) for u, f in _AGES if passed >= f), ("", 0))
    said = f"{int(passed // factor)} {unit} ago" if factor else "just now"
    exact = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(then))
    return element("time", said, title=exact)


def bar(share: float) -> str:
    """Return a bar, as wide as its place allows, filled by `share` from 0 to 1."""
    width = 100 * min(1.0, max(0.0, share))
    filled = element("rect", width=f"{width:.1f}", height=6)
    ground = element("rect", class_="ground", width=100, height=6)
    return element("svg", ground + filled, class_="bar", viewBox="0 0 100 6",
                   preserveAspectRatio="none", aria_hidden="true")  # fmt: skip
