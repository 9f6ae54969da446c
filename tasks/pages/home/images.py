"""The pages of pictures: datasets, their images with all that is known of each, and search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from storage.catalog import Entry
from storage.dataset import Ledger, LedgerRow
from storage.home import StoreView
from storage.home.beside import Box, Sight
from tasks.home import Found
from tasks.pages.home import (
    address,
    age,
    bar,
    chip,
    empty,
    heading,
    link,
    pager,
    store_page,
    table,
)
from tasks.pages.shell import element, escaped, text, visible

PAGE_IMAGES, PAGE_DATASETS = 48, 100
_GUESSES, _BOXES = 3, 100
_SAID = {"sigma": "original's noise", "clip_iqa": "CLIP-IQA", "brisque": "BRISQUE"}
_LISTED_WORDS = 60


@dataclass(frozen=True)
class Filter:
    """Which rows of a dataset are shown."""

    words: str = ""
    """Parts of the uri."""
    label: str = ""
    split: str = ""
    status: str = ""

    def rows(self, ledger: Ledger) -> list[int]:
        """Return the ids of the rows that fit, in order."""
        wanted = self.words.lower().split()
        columns = zip(ledger.uri, ledger.label, ledger.label_name, ledger.split, ledger.status,
                      strict=True)  # fmt: skip
        return [
            at
            for at, (uri, label, name, split, status) in enumerate(columns)
            if self.label in ("", name or str(label))
            and self.split in ("", split)
            and self.status in ("", status)
            and all(word in uri.lower() for word in wanted)
        ]


@dataclass(frozen=True)
class Shown:
    """One page of a dataset's images."""

    dataset: Entry
    ledger: Ledger
    rows: Sequence[int]
    """The ids of all rows that fit the filter."""
    page: int
    filter: Filter = Filter()
    sights: Mapping[str, Sight] = field(default_factory=dict)
    told_by: Mapping[str, Entry] = field(default_factory=dict)
    problems: Sequence[str] = ()

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return max(1, -(-len(self.rows) // PAGE_IMAGES))

    @property
    def here(self) -> list[LedgerRow]:
        """The rows of this page."""
        start = (self.page - 1) * PAGE_IMAGES
        return [self.ledger.row(at) for at in self.rows[start : start + PAGE_IMAGES]]


def dataset_list(view: StoreView, page: int = 1) -> str:
    """Return the page of all datasets, newest first."""
    every = [entry for entry in view.entries if entry.kind == "dataset"]
    pages = max(1, -(-len(every) // PAGE_DATASETS))
    page = min(max(1, page), pages)
    found = every[(page - 1) * PAGE_DATASETS : page * PAGE_DATASETS]
    body = heading("Images", under=f"{len(every):,} datasets, the newest first")
    if not found:
        body += empty("There is no dataset", "A run over a source of images makes the first.")
        return store_page(view, "Images", body, "/images")
    rows = (
        (
            link(text(view.name(entry.key)), "images", entry.key)
            + element("div", text(entry.key), class_="key soft"),
            f"{entry.recipe.get('rows', 0):,}",
            "".join(chip(kind) for kind in _kinds_of(view, entry)),
            age(entry.at),
        )
        for entry in found
    )
    header = ("Dataset", "Rows", "What was made of it", "Published")
    return store_page(view, "Images", body + table(header, rows, numbers=(1, 3))
                 + pager(page, pages, "images"), "/images")  # fmt: skip


def _kinds_of(view: StoreView, entry: Entry) -> list[str]:
    return sorted({child.kind for child in view.children.get(entry.key, ())})


def image_list(view: StoreView, shown: Shown) -> str:
    """Return a page of a dataset's images, with labels, scores and detections side by side."""
    entry = shown.dataset
    title = view.name(entry.key)
    over = link("Images", "images")
    told = "".join(
        link(chip(kind), "artifact", one.key) for kind, one in sorted(shown.told_by.items())
    )
    under = f"{len(shown.rows):,} of {len(shown.ledger):,} rows &ensp; "
    under += link("the dataset", "artifact", entry.key) + " &ensp; " + told
    body = heading(title, over=over, under=under) + _filter(shown)
    body += "".join(element("p", text(p), class_="notice bad") for p in shown.problems)
    if not shown.here:
        body += empty("No image is like that", link("Show all images", "images", entry.key))
    cards = "".join(
        image_card(entry.key, row, shown.sights.get(row.sha256 or "", Sight()))
        for row in shown.here
    )
    body += element("div", cards, class_="pictures")
    chosen = shown.filter
    body += pager(shown.page, shown.pages, "images", entry.key, q=chosen.words,
                  label=chosen.label, split=chosen.split, status=chosen.status)  # fmt: skip
    return store_page(view, title, body, "/images")


def image_card(dataset: str, row: LedgerRow, sight: Sight, cosine: float | None = None) -> str:
    """Return one image: the picture with its boxes, its name, labels, scores, or what is wrong."""
    name = row.uri.rstrip("/").rpartition("/")[2] or row.uri
    lines = [element("div", text(name), class_="name", title=row.uri)]
    if cosine is not None:
        lines.append(_guess("cosine", f"{cosine:.3f}", max(0.0, cosine)))
    lines.append(_chips(row, sight))
    lines += [_guess(label, f"{c:.0%}", c) for label, c in sight.labels[:_GUESSES]]
    lines.append(_scores(sight))
    if row.reason:
        lines.append(element("div", text(row.reason), class_="soft"))
    return element("article", _frame(dataset, row, sight) + element(
        "div", "".join(lines), class_="told"), class_="picture")  # fmt: skip


def _frame(dataset: str, row: LedgerRow, sight: Sight) -> str:
    if row.sha256 is None or row.status != "ok":
        why = element("span", text(row.reason or "no picture"), class_="why")
        return element("div", why, class_="frame")
    small = address("picture", dataset, row.sha256)
    image = element("img", "", src=small, alt=visible(row.uri), loading="lazy")
    image = image.removesuffix("</img>")
    large = address("picture", dataset, row.sha256, size="large")
    boxes = _boxes(row, sight.boxes) if sight.boxes else ""
    return element("a", image + boxes, class_="frame", href=large)


def _boxes(row: LedgerRow, boxes: Sequence[Box]) -> str:
    drawn = "".join(
        element("rect", element("title", escaped(f"{box.label} {box.confidence:.0%}")),
                x=f"{box.x1:.1f}", y=f"{box.y1:.1f}", width=f"{box.x2 - box.x1:.1f}",
                height=f"{box.y2 - box.y1:.1f}")
        for box in boxes[:_BOXES]
    )  # fmt: skip
    size = f"0 0 {row.width_px or 1} {row.height_px or 1}"
    return element("svg", drawn, viewBox=size, preserveAspectRatio="xMidYMid meet")


def _chips(row: LedgerRow, sight: Sight) -> str:
    told = [chip(row.split)] if row.split != "unspecified" else []
    if row.label_name or row.label >= 0:
        told.append(chip(row.label_name or f"label {row.label}", "good"))
    counts: dict[str, int] = {}
    for box in sight.boxes:
        counts[box.label] = counts.get(box.label, 0) + 1
    told += [chip(f"{label}: {count}", "busy") for label, count in counts.items()]
    if sight.is_looked_at and not sight.boxes:
        told.append(chip("nothing detected"))
    return element("div", "".join(told)) if told else ""


def _scores(sight: Sight) -> str:
    lines = [
        _guess(_SAID.get(name, name), "none" if value is None else f"{value:.2f}", value or 0.0)
        for name, value in sight.scores.items()
    ]
    return "".join(lines) + "".join(
        element("div", text(reason), class_="soft") for reason in sight.reasons
    )


def _guess(name: str, said: str, share: float) -> str:
    shown = element("span", text(name), title=name) + bar(share)
    return element("div", shown + element("span", said, class_="number"), class_="guess")


def _filter(shown: Shown) -> str:
    ledger, chosen = shown.ledger, shown.filter
    pairs = zip(ledger.label_name, ledger.label, strict=True)
    labels = sorted({name or str(label) for name, label in pairs if name or label >= 0})
    find = element("input", "", type="search", name_="q", value=chosen.words,
                   placeholder="part of a name").removesuffix("</input>")  # fmt: skip
    inside = element("label", "Find" + find)
    for name, values, now in (
        ("label", labels, chosen.label),
        ("split", sorted(set(ledger.split)), chosen.split),
        ("status", sorted(set(ledger.status)), chosen.status),
    ):
        if len(values) > 1:
            inside += element("label", name.capitalize() + select(name, values, now))
    return element("form", inside + "<button>Show</button>", role="search",
                   action=address("images", shown.dataset.key))  # fmt: skip


def select(
    name: str, values: Sequence[str], now: str, *, names: Mapping[str, str] | None = None
) -> str:
    """Return a choice of `values`, the first of which is none of them unless `names` is given."""
    options = "" if names else element("option", f"any {name}", value="")
    options += "".join(
        element("option", escaped((names or {}).get(value, value)), value=value,
                selected="selected" if value == now else None)
        for value in values
    )  # fmt: skip
    return element("select", options, name_=name)


@dataclass(frozen=True)
class Search:
    """What was searched for, and what came of it."""

    features: Entry | None
    """Whose images are searched."""
    words: str = ""
    encode: bool = False
    known: Sequence[str] = ()
    """Words that need no model."""
    found: Found | None = None
    problem: str = ""
    cards: Sequence[str] = ()


def search_page(view: StoreView, search: Search) -> str:
    """Return the page of a search by text."""
    choices = [entry for entry in view.entries if entry.kind == "image-features"]
    body = heading("Search", under="Images by the words that fit them, nearest first")
    if not choices or search.features is None:
        body += empty("There are no image features", "Flow <code>images</code> makes them.")
        return store_page(view, "Search", body, "/search")
    body += _search_form(view, search, choices)
    if search.problem:
        body += element("p", text(search.problem), class_="notice")
    if search.found:
        by = search.found.by
        whose = link(text(by), "artifact", by) if by in view.by_key else text(by)
        body += element("p", f"“{text(search.found.text)}”, said by {whose}", class_="soft")
        body += element("div", "".join(search.cards), class_="pictures")
    elif search.known:
        shown = search.known[:_LISTED_WORDS]
        words = "".join(
            link(chip(word), "search", features=search.features.key, q=word) for word in shown
        )
        left = len(search.known) - len(shown)
        more = f" and {left:,} more" if left else ""
        body += element("h2", "Words that need no model") + words + more
    return store_page(view, "Search", body, "/search")


def _search_form(view: StoreView, search: Search, choices: Sequence[Entry]) -> str:
    assert search.features is not None
    names = {entry.key: f"{view.name(entry.key)} ({entry.held_rows:,})" for entry in choices}
    find = element("input", "", type="search", name_="q", value=search.words,
                   placeholder="a word", autofocus="autofocus")  # fmt: skip
    tick = element("input", "", type="checkbox", name_="encode", value="1",
                   checked="checked" if search.encode else None)  # fmt: skip
    return element(
        "form",
        element("label", "Words" + find.removesuffix("</input>"))
        + element("label", "Among"
                  + select("features", list(names), search.features.key, names=names))
        + element("label", tick.removesuffix("</input>")
                  + " load the model for words it has not stored", class_="tick")
        + "<button>Search</button>",
        action="/search",
        role="search",
    )  # fmt: skip
