"""Taking over rows that an older artifact of the same family has already made.

Two steps, so that a run killed between them loses nothing: the plan is cut along the parts of the
donors, then every pending part that a donor holds is filled from it, in a first run and in a
resumed one alike.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from conf.keys import ArtifactKey
from storage.drafts import Draft
from storage.kinds import Kind
from storage.parts import Marker, sealed


@dataclass(frozen=True)
class Donation:
    """A sealed part of another artifact: published, an unfinished draft's, or quarantined."""

    parts: Path
    marker: Marker

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.parts / self.marker.part


def donations(folder: Path, key: ArtifactKey) -> Iterator[Donation]:
    """Yield the sealed parts of the artifact or draft `key` in `folder`."""
    parts = folder / "parts"
    for marker in sealed(parts, key):
        yield Donation(parts, marker)


def cut(
    wanted: Sequence[str], offers: Sequence[Donation], part_rows: int, *, pieces: bool
) -> list[Sequence[str]]:
    """Return the rows of each part to plan: along `offers` where they hold wanted rows, then in
    order.

    With `pieces`, a donor's part counts also when only some of its rows are wanted. Every wanted
    row is in exactly one part.
    """
    parts: list[Sequence[str]] = []
    if offers:
        missing = set(wanted)
        parts = _cut_along(offers, missing, pieces=pieces)
        wanted = [*filter(missing.__contains__, wanted)]
    rest = [*dict.fromkeys(wanted)]
    return parts + [rest[start : start + part_rows] for start in range(0, len(rest), part_rows)]


def _cut_along(
    offers: Sequence[Donation], missing: set[str], *, pieces: bool
) -> list[Sequence[str]]:
    """Take what `offers` hold out of `missing`, and return it, cut as they are."""
    parts: list[Sequence[str]] = []
    for offer in sorted(offers, key=lambda offer: _cost(offer.marker, missing)):
        held = offer.marker.rows
        rows = held if missing.issuperset(held) else [*filter(missing.__contains__, held)]
        if rows and (pieces or len(rows) == len(held)):
            parts.append(rows)
            missing.difference_update(rows)
    return parts


def fill(draft: Draft, offers: Sequence[Donation], kind: Kind) -> None:
    """Seal every pending part of `draft` whose rows some donor holds.

    A part with the same rows is hard-linked, of a larger one the rows are copied. The donor's bytes
    are hashed first: damage is not handed on.
    """
    pending = draft.pending()
    if not pending or not offers:
        return
    holders = holders_of(offers, map(draft.rows_of, pending))
    sound: dict[Path, bool] = {}
    for name in pending:
        rows = draft.rows_of(name)
        for offer in holding(rows, holders[rows[0]]):
            if _is_sound(offer, sound):
                _adopt(draft, name, offer, kind)
                break


def holders_of(
    offers: Sequence[Donation], parts: Iterable[Sequence[str]]
) -> dict[str, list[Donation]]:
    """Return, for the first row of each of `parts`, the offers that hold it."""
    holders: dict[str, list[Donation]] = {rows[0]: [] for rows in parts}
    for offer in offers:
        for row in holders.keys() & offer.marker.rows:
            holders[row].append(offer)
    return holders


def holding(rows: Sequence[str], offers: Sequence[Donation]) -> Iterator[Donation]:
    """Yield the offers that hold all of `rows`, those that hold nothing else first."""
    exactly = tuple(rows)
    yield from (offer for offer in offers if offer.marker.rows == exactly)
    for offer in offers:
        if offer.marker.rows != exactly and set(offer.marker.rows).issuperset(rows):
            yield offer


def _is_sound(offer: Donation, known: dict[Path, bool]) -> bool:
    if offer.folder not in known:
        known[offer.folder] = offer.marker.problem(offer.parts) is None
    return known[offer.folder]


def _cost(marker: Marker, missing: set[str]) -> tuple[bool, int]:
    """Order whole parts before pieces and large before small: links before copies, few before
    many."""
    useful = len(missing.intersection(marker.rows))
    return useful < len(marker.rows), -useful


def _adopt(draft: Draft, name: str, offer: Donation, kind: Kind) -> None:
    rows = draft.rows_of(name)
    if tuple(rows) == offer.marker.rows:
        with draft.write_part(name) as writer:
            writer.device = offer.marker.device
            for file, sums in offer.marker.files.items():
                writer.link(offer.folder / file, sums)
    elif kind.copy_rows:
        place = {row: position for position, row in enumerate(offer.marker.rows)}
        with draft.write_part(name) as writer:
            writer.device = offer.marker.device
            kind.copy_rows(offer.folder, [place[row] for row in rows], writer)
