import pandas as pd
import pytest

from storage.dataset import Ledger, LedgerRow
from tasks.pages.tables import as_text, label_rows, summary_text

CAT, DOG = "c" * 64, "d" * 64


def row(uri: str, sha256: str | None, reason: str | None = None) -> LedgerRow:
    status = "failed" if reason else "ok"
    return LedgerRow(uri, sha256, "unspecified", -1, None, status, reason, 1, None, None)


def labels(top: int, contents: tuple[str, ...] = (CAT, DOG)) -> pd.DataFrame:
    words = ("animal", "indoor", "macro", "art", "sky")[:top]
    rows = [
        {"content_sha256": content, "rank": rank, "label": word, "confidence": 0.5 / rank}
        for content in contents
        for rank, word in enumerate(words, start=1)
    ]
    return pd.DataFrame(rows)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert as_text(("photo", "n"), [("a", "10,000"), ("longer.jpg", "1")]).splitlines() == [
        "photo       n",
        "----------  ------",
        "a           10,000",
        "longer.jpg  1",
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert as_text(("a", "b"), []) == "a  b\n-  -"


@pytest.mark.parametrize(
    ("cell", "shown"),
    [("two\nlines", r"two\nlines"), ("\x1b[31mred", r"\x1b[31mred"), ("naïve 猫", "naïve 猫")],
)
def test_a_cell_neither_breaks_the_table_nor_commands_the_terminal(cell: str, shown: str) -> None:
    assert as_text(("name",), [(cell,)]).splitlines()[2] == shown


def test_each_photo_stands_with_its_best_labels_and_their_share() -> None:
    ledger = Ledger.of([row("cat.jpg", CAT), row("dog.jpg", DOG)])
    header, rows = label_rows(ledger, labels(5))
    assert header == ("photo", "label 1", "label 2", "label 3")
    assert rows == [
        ("cat.jpg", "animal 50%", "indoor 25%", "macro 17%"),
        ("dog.jpg", "animal 50%", "indoor 25%", "macro 17%"),
    ]


def test_two_names_of_one_content_have_the_same_labels() -> None:
    _, rows = label_rows(Ledger.of([row("a", CAT), row("b", CAT)]), labels(3, (CAT,)))
    assert [cells[1:] for cells in rows] == [rows[0][1:]] * 2


@pytest.mark.parametrize("top", [1, 2])
def test_fewer_labels_are_fewer_columns(top: int) -> None:
    ledger = Ledger.of([row("cat.jpg", CAT), row("bad.jpg", None, "empty: 0 bytes")])
    header, rows = label_rows(ledger, labels(top, (CAT,)))
    assert len(header) == top + 1
    assert {len(cells) for cells in rows} == {top + 1}
    as_text(header, rows)


def test_a_photo_that_failed_says_why_in_its_row() -> None:
    ledger = Ledger.of([row("cat.jpg", CAT), row("bad.jpg", None, "empty: 0 bytes")])
    _, rows = label_rows(ledger, labels(3, (CAT,)))
    assert rows[1] == ("bad.jpg", "empty: 0 bytes", "", "")


def test_the_summary_counts_what_failed_by_reason_and_what_was_skipped() -> None:
    rows = [row("a", CAT), row("b", None, "gone: x"), row("c", None, "gone: y")]
    assert summary_text(Ledger.of(rows)) == "1 ok, 2 gone"
    assert summary_text(Ledger.of(rows, ("d",))) == "1 ok, 2 gone, 1 file that is no image"
    assert summary_text(Ledger.of(rows, ("d", "e"))).endswith(", 2 files that are no images")
