import os
from dataclasses import replace
from typing import Any

import pytest

from storage.readers.listing import Stamps
from storage.readers.protocol import Stamp
from storage.remembered import Block, Known, Remembered, folder_of, places_of

EMPTY = Block(b"", b"", b"")
STAMPS = Stamps.of([Stamp("/p/a.png", 10, 1), Stamp("/p/b.png", 11, -2), Stamp("/p/c.txt", 5, 3)])
SHAS = ["0a" * 32, "0b" * 32]


def remembered() -> Remembered:
    """Return two whole images and a text."""
    columns: list[list[Any]] = [[*SHAS, None], [10, 11, None], [4, 5, None], [3, 6, None]]
    return Remembered(columns, {2: Known(None, None)})


def block() -> Block:
    return Block.of(places_of(STAMPS), STAMPS, remembered())


def test_a_block_holds_the_whole_images_of_a_listing_and_nothing_else() -> None:
    found = block().recall(places_of(STAMPS), STAMPS)
    assert found == replace(remembered(), others={})
    assert found.row(0) == Known(SHAS[0], 10, 4, 3, None, 1)
    assert found.row(2) is None


def test_an_unchanged_listing_of_whole_images_is_recalled_as_it_was() -> None:
    stamps = Stamps.of([STAMPS.row(0), STAMPS.row(1)])
    assert block().recall(places_of(stamps), stamps).columns == [SHAS, [10, 11], [4, 5], [3, 6]]


@pytest.mark.parametrize(
    ("stamp", "is_known"),
    [
        (Stamp("/p/b.png", 11, -2), True),
        (Stamp("/p/b.png", 12, -2), False),
        (Stamp("/p/b.png", 11, -1), False),
        (Stamp("/p/b.png", 11, -2, "row"), False),
        (Stamp("/p/d.png", 11, -2), False),
        (None, False),
    ],
)
def test_a_row_is_recalled_by_its_whole_stamp_wherever_it_stands(
    stamp: Stamp | None, is_known: bool
) -> None:
    stamps = Stamps.of([stamp, Stamp("/p/new.png", 1, 1)])
    found = block().recall(places_of(stamps), stamps)
    assert [found.row(0), found.row(1)] == [
        Known(SHAS[1], 11, 5, 6, None, 1) if is_known else None,
        None,
    ]


def test_an_empty_block_knows_nothing() -> None:
    assert EMPTY.recall(places_of(STAMPS), STAMPS).columns == [[None] * 3] * 4
    assert EMPTY.recall([], Stamps.of([])).columns == [[]] * 4
    assert EMPTY.is_sound


def test_a_block_whose_columns_do_not_fit_each_other_is_not_sound() -> None:
    whole = block()
    assert whole.is_sound
    assert not whole._replace(places=b"/p/a.png").is_sound
    assert not whole._replace(numbers=whole.numbers[:-1]).is_sound
    assert not whole._replace(shas=whole.shas[:-1]).is_sound


def test_rows_of_a_file_and_odd_names_have_places_of_their_own() -> None:
    odd = os.fsdecode(b"/p/caf\xe9.jpg")
    stamps = Stamps.of([Stamp("/p/a.npz", 1, 1, "train/0"), None, Stamp(odd, 1, 1)])
    assert places_of(stamps) == [b"/p/a.npz\0train/0", b"", b"/p/caf\xe9.jpg"]


def test_the_folder_of_places_is_the_one_that_all_lie_in() -> None:
    assert folder_of([b"/p/a/1.png", b"/p/b/2.png", b"/p/a/3.png"]) == b"/p"
    assert folder_of([b"/p/a.npz\0train/0", b"/p/a.npz\0train/1"]) == b"/p/a.npz"
    assert folder_of([b"cells-1", b"/p/a.png"]) == b""
