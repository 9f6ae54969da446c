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
    """Return header and rows: each row of `ledger` with its best labels, or with what is wrong.

    There are `top` columns of labels, or as many as the images have where that is fewer.
    """
    best = labels[labels["rank"] <= top].groupby("content_sha256", sort=False)
    said = {
        str(content): tuple(f"{row.label} {row.confidence:.0%}" for row in group.itertuples())
        for content, group in best
    }
    columns = max(map(len, said.values()), default=1)
    rows: Rows = [
        (str(row.uri), *said[str(row.sha256)])
        if row.status == "ok"
        else (str(row.uri), str(row.reason), *[""] * (columns - 1))
        for row in ledger.frame().itertuples()
    ]
    return ("photo", *(f"label {rank}" for rank in range(1, columns + 1))), rows


def as_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in columns as wide as their widest cell, one line a row.

    What does not print, such as a line break or an escape in a file's name, is written as Python
    writes it: no cell breaks the table or commands the terminal.
    """
    shown = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *shown, strict=True)]
    lines = [header, ["-" * width for width in widths], *shown]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _printable(cell: str) -> str:
    if cell.isprintable():
        return cell
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cell)


def summary_text(ledger: Ledger) -> str:
    """Return how many rows are ok, how many failed and why, and how many files were no rows."""
    counts = [f"{count:,} {what}" for what, count in ledger.summary().items()]
    skipped = len(ledger.skipped)
    files = "1 file that is no image" if skipped == 1 else f"{skipped:,} files that are no images"
    return ", ".join(counts + [files] * bool(skipped))
