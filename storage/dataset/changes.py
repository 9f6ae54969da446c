"""What became of a dataset: rows that are new, changed, gone, renamed or labelled otherwise."""

from collections import Counter
from dataclasses import asdict, dataclass

from storage.dataset.ledger import Ledger, LedgerRow


@dataclass(frozen=True)
class LedgerChanges:
    """How many rows of a ledger are not as they were in an older one; each row counts once."""

    new: int = 0
    """A uri and a content that were not there."""
    changed: int = 0
    """The same uri with another content."""
    renamed: int = 0
    """A content that was there under a uri that is gone."""
    relabelled: int = 0
    """The same uri and content with another split or label."""
    failed_now: int = 0
    """Rows that were ok and failed, or failed for another reason."""
    mended: int = 0
    """Rows that had failed and are ok."""
    gone: int = 0
    """A uri that is no longer there, its content neither."""
    moved: int = 0
    """1 when the same rows come in another order, and nothing else is different."""

    def __str__(self) -> str:
        words = {name.replace("_", " "): count for name, count in asdict(self).items() if count}
        if "moved" in words:
            return "the same rows in another order"
        return ", ".join(f"{count:,} {name}" for name, count in words.items()) or "no row differs"


def ledger_changes(old: Ledger, new: Ledger) -> LedgerChanges:
    """Return what became of the rows of `old` in `new`: rows are known by their uri, then by their
    content."""
    before = {row.uri: row for row in old.rows()}
    after = {row.uri: row for row in new.rows()}
    missing = [row for uri, row in before.items() if uri not in after]
    lost = Counter(row.sha256 for row in missing if row.sha256)
    counts: Counter[str] = Counter()
    for uri, row in after.items():
        was = before.get(uri)
        if was == row:
            counts["same"] += 1
        elif was is not None:
            counts[_what_became(was, row)] += 1
        elif row.sha256 and lost[row.sha256]:
            lost[row.sha256] -= 1
            counts["renamed"] += 1
        else:
            counts["new"] += 1
    counts["gone"] = len(missing) - counts["renamed"]
    if not any(count for what, count in counts.items() if what != "same"):
        counts["moved"] = int(old.uri != new.uri)
    return LedgerChanges(**{what: count for what, count in counts.items() if what != "same"})


def _what_became(was: LedgerRow, row: LedgerRow) -> str:
    if row.status != "ok" and (was.status, was.reason) != (row.status, row.reason):
        return "failed_now"
    if was.status != row.status:
        return "mended"
    if was.sha256 != row.sha256:
        return "changed"
    facts = ("split", "label", "label_name")
    same = all(getattr(was, fact) == getattr(row, fact) for fact in facts)
    return "same" if same else "relabelled"
