"""Rows that an older artifact holds are taken over; only what is new is made."""

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

import storage.publishing
from storage.parts import Marker, sealed
from storage.publishing import driving
from storage.store import Artifact
from storage.takeover import Donation, cut, holding

OLD, NEW = range(30), range(48)  # 18 rows more


def inodes(features: Any, artifact: Artifact) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Return, by the rows of a part, the inodes of its files."""
    parts = features.store.path_of(artifact) / "parts"
    return {
        marker.rows: tuple((parts / marker.part / name).stat().st_ino for name in marker.files)
        for marker in sealed(parts, features.store.key_of(artifact))
    }


def test_of_eighteen_rows_added_exactly_those_are_encoded(features: Any) -> None:
    features.make(OLD)
    features.encoded.clear()
    grown = features.make(NEW)
    assert features.encoded == [*range(30, 48)]
    assert features.read(grown) == features.truth(NEW)


def test_old_parts_are_the_same_files_under_a_second_name(features: Any) -> None:
    old = inodes(features, features.make(OLD))
    grown = inodes(features, features.make(NEW))
    assert old.items() <= grown.items()


def test_a_removed_row_leaves_its_neighbours_copied_and_nothing_encoded(features: Any) -> None:
    old = features.make(OLD)
    features.encoded.clear()
    without = [row for row in OLD if row != 4]
    fewer = features.make(without)
    assert features.encoded == []
    assert features.read(fewer) == features.truth(without)
    shared = inodes(features, old).items() & inodes(features, fewer).items()
    assert len(shared) == 9  # of the ten parts, one was copied


def test_other_names_or_orders_of_the_same_contents_are_the_same_artifact(features: Any) -> None:
    assert features.make(OLD) == features.make([*reversed(OLD)])


def test_a_donor_that_is_damaged_hands_nothing_on(features: Any) -> None:
    old = features.store.path_of(features.make(OLD))
    harmed = next(path for path in sorted(old.glob("parts/*/tokens.h5")))
    harmed.chmod(0o644)
    data = harmed.read_bytes()
    harmed.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    features.encoded.clear()
    grown = features.make(NEW)
    assert features.encoded == [0, 1, 2, *range(30, 48)]
    assert features.read(grown) == features.truth(NEW)


def test_killed_between_plan_and_filling_a_run_still_takes_over(
    features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    features.make(OLD)
    features.encoded.clear()

    def die(*anything: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage.publishing, "fill", die)
    with pytest.raises(KeyboardInterrupt):
        features.make(NEW)
    monkeypatch.undo()
    assert (features.store.draft_folder(features.making(NEW).key) / "plan.json").exists()
    features.make(NEW)
    assert features.encoded == [*range(30, 48)]


def test_the_sealed_parts_of_an_unfinished_draft_are_taken_over_too(features: Any) -> None:
    features.draft(OLD, parts=4)
    features.encoded.clear()
    features.make(NEW)
    assert sorted(features.encoded) == [*range(12, 48)]


def test_the_parts_of_two_artifacts_are_joined(features: Any) -> None:
    features.make(range(6))
    features.make(range(3, 12))  # its rows 3, 4 and 5 are the first one's
    features.encoded.clear()
    both = features.make(range(12))
    assert features.encoded == []
    assert features.read(both) == features.truth(range(12))


def test_an_artifact_outlives_the_one_it_took_over_from(features: Any) -> None:
    old, grown = features.make(OLD), features.make(NEW)
    features.store.quarantine(features.store.key_of(old), "a test wants it gone")
    assert features.read(grown) == features.truth(NEW)


def test_where_hard_links_are_refused_files_are_copied(
    features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = features.make(OLD)

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, os.strerror(1))

    monkeypatch.setattr(os, "link", refuse)
    features.encoded.clear()
    grown = features.make(NEW)
    assert features.encoded == [*range(30, 48)]
    assert features.read(grown) == features.truth(NEW)
    assert not inodes(features, old).items() & inodes(features, grown).items()


@pytest.mark.parametrize("size", [4, 7, 10, 13, 16])
def test_of_donors_that_overlap_all_rows_are_taken(features: Any, size: int) -> None:
    features.part_rows = 8
    features.make(range(20))
    features.make(range(size))  # keys sort either way: the first donor found is not always the fit
    features.encoded.clear()
    grown = features.make(range(40))
    assert features.encoded == [*range(20, 40)]
    assert features.read(grown) == features.truth(range(40))


def test_nothing_is_taken_over_when_that_is_asked_for(features: Any) -> None:
    features.make(OLD)
    features.encoded.clear()
    making = features.making(NEW)
    with driving(features.store, making, part_rows=16, take_over=False) as draft:
        assert draft is not None
        assert len(draft.pending()) == 3


def chance(seed: int) -> tuple[list[str], list[Donation], int, bool]:
    """Return rows that are wanted, some twice, what donors hold, rows a part, and `pieces`."""
    random = Random(seed)
    rows = [f"row-{number}" for number in range(random.randrange(1, 40))]
    sizes = [random.randrange(len(rows) + 1) for _ in range(random.randrange(6))]
    markers = [
        Marker("key", str(part), tuple(random.sample(rows, size)), {}, 0.0)
        for part, size in enumerate(sizes)
    ]
    offers = [Donation(Path("parts"), marker) for marker in markers]
    wanted = random.choices(rows, k=random.randrange(40))
    return wanted, offers, random.randrange(1, 9), random.random() < 0.7


def cut_row_by_row(
    wanted: list[str], offers: list[Donation], part_rows: int, pieces: bool
) -> list[list[str]]:
    """Return what `cut` does, said row by row."""

    def cost(offer: Donation) -> tuple[bool, int]:
        useful = sum(row in missing for row in offer.marker.rows)
        return useful < len(offer.marker.rows), -useful

    missing, parts = list(dict.fromkeys(wanted)), []
    for offer in sorted(offers, key=cost):
        rows = [row for row in offer.marker.rows if row in missing]
        if rows and (pieces or len(rows) == len(offer.marker.rows)):
            parts.append(rows)
            missing = [row for row in missing if row not in rows]
    rest = [missing[start : start + part_rows] for start in range(0, len(missing), part_rows)]
    return parts + rest


def test_whatever_is_wanted_and_held_parts_are_cut_as_said_row_by_row() -> None:
    for seed in range(300):
        wanted, offers, part_rows, pieces = chance(seed)
        found = [list(rows) for rows in cut(wanted, offers, part_rows, pieces=pieces)]
        assert found == cut_row_by_row(wanted, offers, part_rows, pieces), seed


def test_of_the_offers_that_hold_all_rows_those_that_hold_nothing_else_come_first() -> None:
    for seed in range(300):
        _, offers, size, _ = chance(seed)
        rows = list(offers[0].marker.rows[:size] if offers else [])
        fit = [offer for offer in offers if all(row in offer.marker.rows for row in rows)]
        fit.sort(key=lambda offer: list(offer.marker.rows) != rows)
        assert [*holding(rows, offers)] == fit, seed
