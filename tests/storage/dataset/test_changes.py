from collections import Counter
from random import Random
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


def by_rows(old: Ledger, new: Ledger) -> LedgerChanges:
    """Return the changes by going through the rows one by one."""
    before = {row.uri: row for row in old.rows()}
    after = {row.uri: row for row in new.rows()}
    gone = [row for uri, row in before.items() if uri not in after]
    lost = Counter(row.sha256 for row in gone if row.sha256)
    counts: Counter[str] = Counter()
    for uri, row in after.items():
        was = before.get(uri)
        if was is None:
            is_renamed = bool(row.sha256 and lost[row.sha256])
            lost[row.sha256 or ""] -= is_renamed
            counts["renamed" if is_renamed else "new"] += 1
        elif was[1:7] == row[1:7]:
            continue
        elif row.status != "ok" and was[5:7] != row[5:7]:
            counts["failed_now"] += 1
        elif was.status != row.status:
            counts["mended"] += 1
        else:
            counts["changed" if was.sha256 != row.sha256 else "relabelled"] += 1
    counts["gone"] = len(gone) - counts["renamed"]
    if not any(counts.values()):
        counts["moved"] = int(old.uri != new.uri)
    return LedgerChanges(**counts)


def test_columns_tell_what_the_rows_do() -> None:
    random = Random(0)

    def drawn() -> Ledger:
        uris = random.sample([f"{number}.jpg" for number in range(12)], random.randint(0, 8))
        return Ledger.of([row(uri, random.choice("abc") * 64, **facts()) for uri in uris])

    def facts() -> dict[str, Any]:
        if random.random() < 0.2:
            return {"status": "failed", "reason": random.choice(("empty: 0 bytes", "broken: so"))}
        return {"label": random.choice((1, 1, 1, 2))}

    for _ in range(300):
        old, new = drawn(), drawn()
        assert ledger_changes(old, new) == by_rows(old, new)
