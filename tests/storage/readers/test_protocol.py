import pytest

from storage.readers.protocol import labels_of, numbered


def test_names_are_numbered_in_sorted_order() -> None:
    assert numbered(["dog", None, "cat", "dog"]) == [
        (1, "dog"),
        (-1, None),
        (0, "cat"),
        (1, "dog"),
    ]


def test_whole_numbers_are_labels_themselves() -> None:
    assert labels_of(["7", 3, None, " 0 ", ""]) == [
        (7, None),
        (3, None),
        (-1, None),
        (0, None),
        (-1, None),
    ]


def test_one_name_makes_all_labels_names() -> None:
    assert labels_of(["10", "9", "cat"]) == [(0, "10"), (1, "9"), (2, "cat")]


@pytest.mark.parametrize("cells", [["-2"], [1 << 63]])
def test_a_number_that_is_no_label_is_refused(cells: list[str | int]) -> None:
    with pytest.raises(ValueError, match="a label is a whole number from 0 on"):
        labels_of(cells)
