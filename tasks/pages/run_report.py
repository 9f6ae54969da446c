"""The report of a run: one page with its key facts, its tables, and links to all that it made."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tasks.pages.shell import element, page, table, text

SHOWN_ROWS = 200
_STYLE = """
:root { --accent: #0b6e6e; --tint: #0b6e6e14; }
@media (prefers-color-scheme: dark) { :root { --accent: #5cc9c2; --tint: #5cc9c21c; } }
a { color: var(--accent); } h1 { margin: 0; letter-spacing: -.02em; }
h2 { border-top: 1px solid var(--line); padding-top: 1.5rem; }
.facts { display: flex; flex-wrap: wrap; gap: .75rem; padding: 0; margin: 1.25rem 0; }
.facts div { background: var(--soft); border-radius: 10px; padding: .6rem 1.1rem; }
.facts b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.pages { list-style: none; padding: 0; display: grid; gap: .6rem;
  grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); }
.pages a { display: block; background: var(--tint); border-radius: 10px; padding: .8rem 1.1rem;
  text-decoration: none; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } td { overflow-wrap: anywhere; min-width: 4rem; }
td, th { padding: .3rem 1.2rem .3rem 0; } tr + tr td { border-top: 1px solid var(--soft); }
code { font-size: .9em; } nav a { margin-right: 1rem; white-space: nowrap; }
"""


@dataclass(frozen=True)
class ReportedTable:
    """A table of a run."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    page: str = ""
    """A page that shows the same, relative to the report."""


@dataclass(frozen=True)
class ReportedArtifact:
    """An artifact of a run; paths are relative to the report."""

    name: str
    key: str
    state: str
    rows: int
    rows_made: int
    rows_computed: int
    """Those made that took work; see `flows.run.Made`."""
    seconds: float
    note: str
    folder: str
    pages: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """What a report is made of."""

    run: str
    seconds: float
    store: str
    artifacts: Sequence[ReportedArtifact]
    tables: Sequence[ReportedTable]
    ended: float
    """Seconds since 1970."""


def run_report(report: Report) -> str:
    """Return the page, one HTML text that loads nothing; its links lead into the store."""
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(report.ended))
    head = element("h1", text(report.run)) + element("p", f"A run that ended {when}", class_="soft")
    parts = [
        ("Reports and maps", _pages(report)),
        *((one.title, _table(one)) for one in report.tables),
        ("What was made and reused", _artifacts(report)),
    ]
    filled = [(title, inside) for title, inside in parts if inside]
    body = head + _facts(report) + _contents([title for title, _ in filled])
    for at, (title, inside) in enumerate(filled):
        body += element("h2", text(title), id=f"part-{at}") + inside
    body += element("h2", "Look closer") + element(
        "p", "<code>featuremill serve</code> shows the whole store "
        f"<code>{text(report.store)}</code> in a browser.")  # fmt: skip
    return page(f"{report.run}: a run", body, style=_STYLE)


def _facts(report: Report) -> str:
    reused = sum(one.state == "Cached" for one in report.artifacts)
    told: Mapping[str, str] = {
        "artifacts made": f"{len(report.artifacts) - reused:,}",
        "reused": f"{reused:,}",
        "rows computed": f"{sum(one.rows_computed for one in report.artifacts):,}",
        "seconds": f"{report.seconds:,.1f}",
    }
    facts = (element("div", element("b", value) + text(name)) for name, value in told.items())
    return element("div", "".join(facts), class_="facts")


def _contents(titles: Sequence[str]) -> str:
    links = (element("a", text(t), href=f"#part-{at}") for at, t in enumerate(titles))
    return element("nav", " ".join(links), aria_label="On this page")


def _pages(report: Report) -> str:
    links = "".join(
        element("li", element("a", text(one.name) + _file(one, path), href=quote(path)))
        for one in report.artifacts
        for path in one.pages
    )
    links += "".join(
        element("li", element("a", text(one.title), href=quote(one.page)))
        for one in report.tables
        if one.page and one.page not in {path for made in report.artifacts for path in made.pages}
    )
    return element("ul", links, class_="pages") if links else ""


def _file(one: ReportedArtifact, path: str) -> str:
    name = path.rpartition("/")[2]
    return element("div", text(name), class_="soft") if len(one.pages) > 1 else ""


def _table(one: ReportedTable) -> str:
    more = len(one.rows) - SHOWN_ROWS
    rest = element("p", f"and {more:,} rows more", class_="soft") if more > 0 else ""
    return element("div", table(one.header, one.rows[:SHOWN_ROWS]), class_="scroll") + rest


def _artifacts(report: Report) -> str:
    header = ("Artifact", "State", "Rows", "Made now", "Seconds", "Key", "")
    lines = "".join(
        element("tr", "".join(element("td", cell) for cell in (
            element("a", text(one.name), href=quote(one.folder) + "/"),
            "reused" if one.state == "Cached" else "made",
            f"{one.rows:,}",
            f"{one.rows_made:,}",
            f"{one.seconds:.1f}",
            element("code", text(one.key)),
            text(one.note),
        )))
        for one in report.artifacts
    )  # fmt: skip
    head = element("tr", "".join(element("th", text(cell)) for cell in header))
    return element("div", element("table", head + lines), class_="scroll")
