"""Tables as text: rows for people, from what is stored."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from storage.dataset import Ledger

if TYPE_CHECKING:
    import pandas as pd

Rows = list[tuple[str, ...]]


def label_rows(
    ledger: Ledger, labels: "pd.DataFrame", top: int = 3
) -> tuple[tuple[str, ...], Rows]:
    """Return header and rows: each row of `ledger` with its best labels, or with what is wrong with
    it."""
    best = labels[labels["rank"] <= top].groupby("content_sha256", sort=False)
    said = {
        str(content): tuple(f"{row.label} {row.confidence:.0%}" for row in group.itertuples())
        for content, group in best
    }
    frame = ledger.frame()
    rows: Rows = [
        (str(row.uri), *said[str(row.sha256)])
        if row.status == "ok"
        else (str(row.uri), str(row.reason), *[""] * (top - 1))
        for row in frame.itertuples()
    ]
    return ("photo", *(f"label {rank}" for rank in range(1, top + 1))), rows


def as_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def summary_text(ledger: Ledger) -> str:
    """Return how many rows are ok, how many failed and why, and how many files were no rows."""
    counts = [f"{count:,} {what}" for what, count in ledger.summary().items()]
    skipped = len(ledger.skipped)
    return ", ".join(counts + ([f"{skipped:,} files that are no images"] if skipped else []))
