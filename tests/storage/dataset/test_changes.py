from typing import Any

import pytest

from storage.dataset import Ledger, LedgerRow
from storage.dataset.changes import LedgerChanges, ledger_changes

A, B, C, D = (letter * 64 for letter in "abcd")


def row(uri: str, sha256: str, **facts: Any) -> LedgerRow:
    plain = LedgerRow(uri, sha256, "train", 1, "dog", "ok", None, 10, 4, 3)
    return plain._replace(**facts)


OLD = [row("a.jpg", A), row("b.jpg", B), row("c.jpg", C, status="failed", reason="empty: 0 bytes")]
FAILED = {"status": "failed", "reason": "truncated: 3 bytes"}


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ([*OLD, row("d.jpg", D)], "1 new"),
        (OLD[1:], "1 gone"),
        ([row("a.jpg", D), *OLD[1:]], "1 changed"),
        ([row("z.jpg", A), *OLD[1:]], "1 renamed"),
        ([row("a.jpg", A, label=2), *OLD[1:]], "1 relabelled"),
        ([row("a.jpg", A, split="test"), *OLD[1:]], "1 relabelled"),
        ([row("a.jpg", A, **FAILED), *OLD[1:]], "1 failed now"),
        ([*OLD[:2], row("c.jpg", C, **FAILED)], "1 failed now"),
        ([*OLD[:2], row("c.jpg", C)], "1 mended"),
        ([OLD[1], OLD[0], OLD[2]], "the same rows in another order"),
        (OLD, "no row differs"),
        ([], "3 gone"),
        ([row("a.jpg", B), row("b.jpg", A), OLD[2]], "2 changed"),
        ([row("d.jpg", D), row("e.jpg", A)], "1 new, 1 renamed, 2 gone"),
    ],
)
def test_each_row_counts_once(new: list[LedgerRow], said: str) -> None:
    assert str(ledger_changes(Ledger.of(OLD), Ledger.of(new))) == said


def test_a_copy_of_what_is_still_there_is_new_and_renames_nothing() -> None:
    changes = ledger_changes(Ledger.of(OLD), Ledger.of([*OLD, row("copy.jpg", A)]))
    assert changes == LedgerChanges(new=1)


def test_of_two_gone_copies_two_are_renamed() -> None:
    old = Ledger.of([row("1.jpg", A), row("2.jpg", A)])
    new = Ledger.of([row("3.jpg", A), row("4.jpg", A), row("5.jpg", A)])
    assert ledger_changes(old, new) == LedgerChanges(new=1, renamed=2)
