"""The pages of runs, and of what is unfinished or in quarantine."""

import json
from collections.abc import Sequence

from storage.home import StoreView
from storage.home.view import Unfinished
from storage.runs import RunRecord
from tasks.pages.home import (
    age,
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
from tasks.pages.shell import element, text

PAGE_RUNS = 50
_TONES = {"completed": "good", "at work": "busy", "interrupted": "bad"}


def runs_table(view: StoreView, runs: Sequence[RunRecord], key: str = "") -> str:
    """Return runs as a table; with `key`, what each did for that artifact."""
    if not runs:
        return empty("No run is on record", "Every <code>featuremill run</code> leaves one.")
    header = ("Run", "Came to", *(("For this artifact",) if key else ()), "Made", "Reused",
              "Took", "Began")  # fmt: skip
    rows = []
    for run in runs:
        made = [one for one in run.artifacts if one["state"] != "Cached"]
        outcome = view.outcome(run)
        mine = next((one for one in run.artifacts if one["key"] == key), None)
        did = (_state(str(mine["state"])) if mine else "",) if key else ()
        rows.append(
            (
                link(text(run.name), "run", run.id),
                chip(outcome, _TONES.get(outcome, "")),
                *did,
                f"{len(made):,}" if run.ended else "",
                f"{len(run.artifacts) - len(made):,}" if run.ended else "",
                seconds(run.ended - run.began) if run.ended else "",
                age(run.began),
            )
        )
    return table(header, rows, numbers=tuple(range(len(header) - 4, len(header))))


def run_list(view: StoreView, page: int = 1) -> str:
    """Return the page of all runs, newest first."""
    pages = max(1, -(-len(view.runs) // PAGE_RUNS))
    page = min(max(1, page), pages)
    shown = view.runs[(page - 1) * PAGE_RUNS : page * PAGE_RUNS]
    body = heading("Runs", under=f"{len(view.runs):,} on record, the newest first")
    body += runs_table(view, shown) + pager(page, pages, "runs")
    return store_page(view, "Runs", body, "/runs")


def run_page(view: StoreView, run: RunRecord) -> str:
    """Return the page of one run: what it made and reused, and what was asked."""
    outcome = view.outcome(run)
    state = chip(outcome, _TONES.get(outcome, ""))
    body = heading(run.name, over=link("Runs", "runs"), under=state + age(run.began))
    if outcome == "interrupted":
        going_on = f"featuremill resume {run.name}"
        body += element("p", f"It did not end. What it sealed is kept; go on with "
                        f"<code>{text(going_on)}</code>", class_="notice")  # fmt: skip
    if run.ended is not None:
        body += facts(_facts(run, run.ended))
    if run.artifacts:
        body += element("h2", "Artifacts") + _artifacts(view, run)
    asked = {"flow": run.flow, "settings": run.settings, "runtime": run.runtime}
    shown = json.dumps(asked, indent=2, ensure_ascii=False, default=str)
    body += element("h2", "What was asked") + element("pre", _plain_lines(shown))
    return store_page(view, run.name, body, "/runs")


def _facts(run: RunRecord, ended: float) -> dict[str, str]:
    made = [one for one in run.artifacts if one["state"] != "Cached"]
    rows, spent = sum(one["rows_made"] for one in made), sum(one["seconds"] for one in made)
    told = {
        "Took": seconds(ended - run.began),
        "Made": f"{len(made):,}",
        "Reused": f"{len(run.artifacts) - len(made):,}",
        "Rows computed": f"{rows:,}",
    }
    return told | ({"Rows a second": f"{rows / spent:,.1f}"} if rows and spent else {})


def _artifacts(view: StoreView, run: RunRecord) -> str:
    rows = (
        (
            link(text(one["name"]), "artifact", str(one["key"]))
            if one["key"] in view.by_key
            else text(one["name"]) + " " + chip("no longer here"),
            _state(str(one["state"])),
            f"{one['rows']:,}",
            f"{one['rows_made']:,}" if one["rows_made"] else "",
            seconds(one["seconds"]),
            text(one.get("note", "")),
        )
        for one in run.artifacts
    )
    header = ("Artifact", "State", "Rows", "Computed", "Took", "Note")
    return table(header, rows, numbers=(2, 3, 4))


def _state(state: str) -> str:
    return chip("reused") if state == "Cached" else chip("made", "good")


def _plain_lines(shown: str) -> str:
    return "\n".join(text(line) for line in shown.split("\n"))


def unfinished_page(view: StoreView) -> str:
    """Return the page of drafts and of quarantine, each with its reason."""
    drafts, hurt = view.unfinished(), view.quarantined()
    body = heading("Unfinished", under="What waits to be finished, and what was found damaged")
    body += element("h2", f"In the making{_count(len(drafts))}")
    rows: list[tuple[str, ...]] = [
        (
            element("span", text(one.key), class_="key"),
            _progress(one),
            f"{one.rows:,}" if one.rows else "",
            age(one.touched),
        )
        for one in drafts
    ]
    body += (
        table(("Artifact", "State", "Rows", "Last written"), rows, numbers=(2, 3))
        if rows
        else empty("Nothing is in the making", "No run left anything behind.")
    )
    body += element("h2", f"In quarantine{_count(len(hurt))}")
    rows = [
        (
            element("span", text(one.key), class_="key")
            + element("div", text(one.path), class_="key soft"),
            text(one.reason),
            age(one.at),
        )
        for one in hurt
    ]
    body += (
        table(("Artifact", "What was found", "When"), rows, numbers=(2,))
        if rows
        else empty("Nothing is in quarantine", "<code>featuremill verify</code> looks again.")
    )
    return store_page(view, "Unfinished", body, "/unfinished")


def _count(count: int) -> str:
    return element("span", f"{count:,}", class_="count")


def _progress(one: Unfinished) -> str:
    if one.problem:
        return chip("cannot be read", "bad") + element("div", text(one.problem), class_="soft")
    state = chip("being made now", "busy") if one.is_driven else chip("waits")
    hint = "" if one.is_driven else element(
        "div", "the run that began it goes on with it: <code>featuremill resume</code>",
        class_="soft")  # fmt: skip
    return state + f"{one.sealed:,} of {one.parts:,} parts sealed" + hint
