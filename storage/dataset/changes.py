"""What became of a dataset: rows that are new, changed, gone, renamed or labelled otherwise."""

from collections import Counter
from collections.abc import Sequence
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
    at_uri = dict(zip(old.uri, range(len(old)), strict=True))
    before = list(map(at_uri.get, new.uri))
    missing = at_uri.keys() - set(new.uri)
    lost = Counter(sha256 for uri in missing if (sha256 := old.sha256[at_uri[uri]]))
    counts: Counter[str] = Counter()
    for at in _differing(old, new, before):
        was, row = before[at], _facts(new, at)
        if was is not None:
            counts[_what_became(_facts(old, was), row)] += 1
        elif row[0] and lost[row[0]]:
            lost[row[0]] -= 1
            counts["renamed"] += 1
        else:
            counts["new"] += 1
    counts["gone"] = len(missing) - counts["renamed"]
    if not any(counts.values()):
        counts["moved"] = int(old.uri != new.uri)
    return LedgerChanges(**counts)


_FACTS = ("sha256", "split", "label", "label_name", "status", "reason")
_Facts = tuple[str | None, str, int, str | None, str, str | None]
"""Of a row: sha256, split, label, label_name, status, reason."""


def _facts(ledger: Ledger, at: int) -> _Facts:
    sha256, split, label, label_name, status, reason = (
        getattr(ledger, name)[at] for name in _FACTS
    )
    return sha256, split, label, label_name, status, reason


def _differing(old: Ledger, new: Ledger, before: Sequence[int | None]) -> list[int]:
    """Return the places of rows of `new` that are not as they are `before`, their places in `old`.

    A column at a time, for of 100,000 rows it matters, and most columns are the same throughout.
    """
    found = {at for at, was in enumerate(before) if was is None}
    for name in _FACTS:
        theirs, ours = getattr(old, name), getattr(new, name)
        then = [None if was is None else theirs[was] for was in before]
        if then != list(ours):
            pairs = zip(then, ours, strict=True)
            found.update(at for at, (one, other) in enumerate(pairs) if one != other)
    return sorted(found)


def _what_became(was: _Facts, row: _Facts) -> str:
    (old_sha256, *_, old_status, old_reason), (sha256, *_, status, reason) = was, row
    if status != "ok" and (old_status, old_reason) != (status, reason):
        return "failed_now"
    if old_status != status:
        return "mended"
    return "changed" if old_sha256 != sha256 else "relabelled"
