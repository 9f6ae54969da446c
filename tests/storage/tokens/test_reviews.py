"""The table of reviews: what metadata of tables leave out, and what they must not hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.tokens.errors import BadActivations
from storage.tokens.reviews import review_frame

IDS = np.array([b"a", b"b"])


def arrays(**changes: list[Any]) -> dict[str, np.ndarray[Any, Any]]:
    rows: dict[str, list[Any]] = {
        "review_ids": ["b", "a"], "texts": ["second", "first"], "stars": [5, 1],
        "useful": [0, 1], "user_ids": ["u", "v"], "business_ids": ["x", "y"],
    }  # fmt: skip
    return {name: np.array(rows, dtype=object) for name, rows in (rows | changes).items()}


def test_a_missing_text_or_user_is_empty_and_no_word() -> None:
    given = arrays(texts=[None, float("nan")], user_ids=[None, b"v"])
    frame = review_frame(given, IDS, Path("m.npz"))
    assert frame["full_text"].tolist() == ["", ""]
    assert frame["user_id"].tolist() == ["v", ""]


def test_of_several_reviews_of_one_id_the_last_counts_as_in_the_seeds_dict() -> None:
    given = arrays(
        review_ids=["a", "b", "a"], texts=["old", "other", "new"], stars=[1, 2, 3],
        useful=[0, 0, 0], user_ids=["u"] * 3, business_ids=["x"] * 3,
    )  # fmt: skip
    frame = review_frame(given, IDS, Path("m.npz"))
    assert frame["full_text"].tolist() == ["new", "other"]
    assert frame["stars"].tolist() == [3, 2]


def test_stars_that_are_no_numbers_are_told() -> None:
    with pytest.raises(BadActivations, match=r"m\.npz: stars holds what is no number .*'five'"):
        review_frame(arrays(stars=["five", 1]), IDS, Path("m.npz"))
