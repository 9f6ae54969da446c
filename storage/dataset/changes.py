"""What became of a dataset: rows that are new, changed, gone, renamed or labelled otherwise."""

from collections import Counter
from dataclasses import asdict, dataclass

from storage.dataset.ledger import Ledger


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
    before, after = _facts(old), _facts(new)
    missing = before.keys() - after.keys()
    lost = Counter(sha256 for uri in missing if (sha256 := before[uri][0]))
    counts: Counter[str] = Counter()
    for uri, row in after.items():
        was = before.get(uri)
        if was == row:
            continue
        if was is not None:
            counts[_what_became(was, row)] += 1
        elif row[0] and lost[row[0]]:
            lost[row[0]] -= 1
            counts["renamed"] += 1
        else:
            counts["new"] += 1
    counts["gone"] = len(missing) - counts["renamed"]
    if not any(counts.values()):
        counts["moved"] = int(old.uri != new.uri)
    return LedgerChanges(**counts)


_Facts = tuple[str | None, str, int, str | None, str, str | None]
"""Of a row: sha256, split, label, label_name, status, reason."""


def _facts(ledger: Ledger) -> dict[str, _Facts]:
    """Return the facts of every row, by its uri. Plain tuples: of 100,000 rows it matters."""
    names = ("sha256", "split", "label", "label_name", "status", "reason")
    facts = zip(*(getattr(ledger, name) for name in names), strict=True)
    return dict(zip(ledger.uri, facts, strict=True))


def _what_became(was: _Facts, row: _Facts) -> str:
    (old_sha256, *_, old_status, old_reason), (sha256, *_, status, reason) = was, row
    if status != "ok" and (old_status, old_reason) != (status, reason):
        return "failed_now"
    if old_status != status:
        return "mended"
    return "changed" if old_sha256 != sha256 else "relabelled"
