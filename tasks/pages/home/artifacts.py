"""The overview, the list of artifacts, and the page of one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conf.units import size
from storage.catalog import Entry
from storage.home import StoreView, lineage
from storage.manifest import Manifest
from storage.runs import RunRecord
from tasks.pages.home import (
    address,
    age,
    bar,
    chip,
    empty,
    facts,
    heading,
    link,
    pager,
    seconds,
    store_page,
    table,
)
from tasks.pages.home.graph import drawing
from tasks.pages.home.runs import runs_table
from tasks.pages.shell import element, escaped, text

PAGE_ROWS = 100
_SANDBOX = "allow-scripts allow-downloads"
_LISTED_RUNS, _LISTED_FILES = 6, 200


def overview(view: StoreView, reports: Sequence[Entry]) -> str:
    """Return the first page; `reports` are the newest artifacts that hold pages."""
    if not view.entries:
        hint = "Make the first: <code>featuremill run demo</code>, then load this page again."
        return store_page(view, "Overview", empty("Nothing is published yet", hint), "/")
    rows = sum(entry.held_rows for entry in view.entries)
    kept = sum(entry.size_bytes for entry in view.entries)
    cards = "".join(
        element("a", f"<b>{value}</b>" + element("span", name), class_="card", href=href)
        for value, name, href in (
            (f"{len(view.entries):,}", "artifacts", "/artifacts"),
            (f"{rows:,}", "rows", "/artifacts"),
            (size(kept), "on this disk", "/artifacts"),
            (f"{len(view.runs):,}", "runs on record", "/runs"),
            (f"{len(view.unfinished()) + len(view.quarantined()):,}",
             "unfinished or in quarantine", "/unfinished"),
        )
    )  # fmt: skip
    latest = runs_table(view, view.runs[:_LISTED_RUNS])
    body = heading("Overview") + element("div", cards, class_="cards")
    body += _reports(view, reports)
    body += _title("Latest runs", len(view.runs)) + latest + _title("What the disk holds")
    return store_page(view, "Overview", body + _kinds(view.entries), "/")


def _reports(view: StoreView, reports: Sequence[Entry]) -> str:
    cards = "".join(
        element("a", element("strong", text(view.name(entry.key))) + "<br>"
                + element("span", f"{text(entry.kind)} · {age(entry.at)}"),
                class_="card", href=address("artifact", entry.key) + "#report")
        for entry in reports
    )  # fmt: skip
    inside = element("div", cards, class_="cards")
    return _title("Reports and maps", len(reports)) + inside if reports else ""


def _kinds(entries: Sequence[Entry]) -> str:
    sums: dict[str, int] = {}
    for entry in entries:
        sums[entry.kind] = sums.get(entry.kind, 0) + entry.size_bytes
    largest = max(1, *sums.values())
    lines = "".join(
        link(text(kind), "artifacts", kind=kind)
        + bar(count / largest)
        + element("span", size(count), class_="number")
        for kind, count in sorted(sums.items(), key=lambda pair: -pair[1])
    )
    return element("div", element("div", lines, class_="bars"), class_="card")


def artifact_list(view: StoreView, *, kind: str = "", words: str = "", page: int = 1) -> str:
    """Return the list of artifacts, of one kind perhaps, whose key or name has all `words`."""
    found = [e for e in view.entries if kind in {"", e.kind} and _has(view, e, words)]
    pages = max(1, -(-len(found) // PAGE_ROWS))
    page = min(max(1, page), pages)
    shown = found[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    title = kind or "Artifacts"
    body = heading(title, under=f"{len(found):,} of {len(view.entries):,}, the newest first")
    body += _filter(view, kind, words)
    if not shown:
        hint = link("Show all artifacts", "artifacts")
        return store_page(view, title, body + empty("No artifact is like that", hint), "/artifacts")
    body += artifact_table(view, shown) + pager(page, pages, "artifacts", kind=kind, q=words)
    return store_page(view, title, body, "/artifacts")


def artifact_table(view: StoreView, entries: Sequence[Entry]) -> str:
    """Return artifacts as a table, one a line."""
    rows = (
        (
            link(text(view.name(entry.key)), "artifact", entry.key)
            + "".join(chip(name) for name in view.names.get(entry.key, ())[1:])
            + element("div", text(entry.key), class_="key soft"),
            link(text(entry.kind), "artifacts", kind=entry.kind),
            f"{entry.held_rows:,}",
            size(entry.size_bytes),
            seconds(entry.seconds),
            age(entry.at),
        )
        for entry in entries
    )
    header = ("Artifact", "Kind", "Rows", "Size", "Made in", "Published")
    return table(header, rows, numbers=(2, 3, 4, 5))


def _filter(view: StoreView, kind: str, words: str) -> str:
    counts: dict[str, int] = {}
    for entry in view.entries:
        counts[entry.kind] = counts.get(entry.kind, 0) + 1
    options = "".join(
        element("option", escaped(f"{one} ({count:,})"), value=one,
                selected="selected" if one == kind else None)
        for one, count in sorted(counts.items())
    )  # fmt: skip
    every = element("option", "every kind", value="")
    find = '<input type="search" name="q" placeholder="part of a name or key"'
    find += f' value="{escaped(words)}">'
    return element(
        "form",
        element("label", "Find" + find)
        + element("label", "Kind" + element("select", every + options, name_="kind"))
        + "<button>Show</button>",
        action="/artifacts",
        role="search",
    )


def artifact_page(view: StoreView, manifest: Manifest, page: str = "") -> str:
    """Return the page of one artifact; `page` is the name of its report to show, if it has one."""
    key, entry = manifest.key, view.by_key.get(manifest.key)
    kind = key.rpartition("-v")[0]
    names = view.names.get(key, ())
    under = "".join(chip(name) for name in names[1:])
    under += element("span", text(key), class_="key")
    over = link(text(kind), "artifacts", kind=kind)
    body = heading(names[0] if names else key, over=over, under=under)
    body += facts(_facts(manifest)) + _pictures_of(view, key, kind)
    if reports := reports_of(manifest):
        body += _report(key, reports, page)
    if entry and (drawn := drawing(lineage(view, key))):
        body += _title("Lineage") + drawn
    body += element(
        "div",
        element("section", _title("Recipe") + _recipe(manifest.recipe))
        + element("section", _title("Made of") + _inputs(view, manifest.inputs)
                  + _title("How it was made") + _provenance(manifest.made)),
        class_="columns",
    )  # fmt: skip
    makers = runs_of(view, key)
    if makers:
        body += _title("Runs that made or reused it", len(makers))
        body += runs_table(view, makers[:_LISTED_RUNS], key=key)
    return store_page(view, key, body + _files(manifest), "/artifacts")


def reports_of(manifest: Manifest) -> list[str]:
    """Return the names of the files of an artifact that are pages."""
    return sorted(name for name in manifest.files if name.endswith(".html"))


def _facts(manifest: Manifest) -> dict[str, str]:
    made = manifest.made
    told = {
        "Rows": f"{manifest.held_rows:,}",
        "Size": size(manifest.size_bytes),
        "Published": age(str(made.get("at", ""))),
        "Seconds of its parts": seconds(float(made.get("part_seconds", 0))),
    }
    devices = made.get("devices") or []
    return told | ({"Device": text(", ".join(map(str, devices)))} if devices else {})


def _pictures_of(view: StoreView, key: str, kind: str) -> str:
    dataset = key if kind == "dataset" else ""
    entry = view.by_key.get(key)
    if not dataset and entry:
        told = (entry.made.get("dataset"), entry.inputs.get("dataset"))
        dataset = next((one for one in told if one in view.by_key), "")
    links = [link("See its images →", "images", dataset)] if dataset else []
    if kind == "image-features":
        links.append(link("Search them by text →", "search", features=key))
    return element("p", " &emsp; ".join(links)) if links else ""


def _report(key: str, reports: Sequence[str], page: str) -> str:
    shown = page if page in reports else reports[0]
    where = _file(key, shown)
    others = "".join(
        link(text(one), "artifact", key, report=one) + " &ensp; " for one in reports if one != shown
    )
    head = element("h2", "Report " + element("span", link_out(where), class_="count"), id="report")
    frame = element("iframe", "", class_="report", src=where, title="Report", loading="lazy",
                    referrerpolicy="no-referrer", sandbox=_SANDBOX)  # fmt: skip
    return head + (element("p", others) if others else "") + frame


def link_out(where: str) -> str:
    """Return a link to a page of its own."""
    return element("a", "open it alone ↗", href=where, target="_blank", rel="noopener noreferrer")


def _recipe(recipe: Mapping[str, Any]) -> str:
    rows = [(element("span", text(n), class_="key"), _value_of(v)) for n, v in _flat(recipe)]
    return table(("Field", "Value"), rows) if rows else element("p", "No settings.", class_="soft")


def _flat(content: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


def _value_of(value: Any) -> str:
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        shown = "".join(chip(one) for one in value[:40])
        more = f"and {len(value) - 40:,} more" if len(value) > 40 else ""
        return shown + element("span", more, class_="soft") if value else "none"
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return element("span", text(said if len(said) <= 400 else f"{said[:399]}…"), class_="key")


def _inputs(view: StoreView, inputs: Mapping[str, str]) -> str:
    if not inputs:
        return element("p", "Nothing that is an artifact.", class_="soft")
    rows = [
        (
            text(name),
            link(text(view.name(key)), "artifact", key)
            if key in view.by_key
            else element("span", text(key), class_="key soft"),
        )
        for name, key in inputs.items()
    ]
    return table(("Input", "Artifact"), rows)


def _provenance(made: Mapping[str, Any]) -> str:
    hidden = {"at", "part_seconds", "devices"}
    told = {name: value for name, value in made.items() if name not in hidden}
    if isinstance(packages := told.get("packages"), dict):
        told["packages"] = [f"{name} {version}" for name, version in packages.items()]
    return _recipe(told)


def _files(manifest: Manifest) -> str:
    files = sorted(manifest.files.items())
    rows = (
        (
            element("a", text(name), class_="key", href=_file(manifest.key, name)),
            size(sums.size_bytes),
            element("span", f"{sums.blake3[:16]}…", class_="key soft"),
        )
        for name, sums in files[:_LISTED_FILES]
    )
    more = f" · the first {_LISTED_FILES} are listed" if len(files) > _LISTED_FILES else ""
    shown = table(("File", "Size", "BLAKE3"), rows, numbers=(1,))
    summary = element("summary", f"{len(files):,} files, {size(manifest.size_bytes)}{more}")
    return _title("Files") + element("details", summary + shown, class_="details",
                                     open="open" if len(files) <= 12 else None)  # fmt: skip


def _file(key: str, name: str) -> str:
    return address("file", key, *name.split("/"))


def runs_of(view: StoreView, key: str) -> list[RunRecord]:
    """Return the runs that made or reused an artifact, newest first."""
    return [run for run in view.runs if any(made["key"] == key for made in run.artifacts)]


def _has(view: StoreView, entry: Entry, words: str) -> bool:
    told = " ".join([entry.key, *view.names.get(entry.key, ())]).lower()
    return all(word in told for word in words.lower().split())


def _title(words: str, count: int | None = None) -> str:
    told = "" if count is None else element("span", f"{count:,}", class_="count")
    return element("h2", words + told)
