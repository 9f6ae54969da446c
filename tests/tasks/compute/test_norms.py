import re

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from tasks.compute.norms import unit_rows

DRAW = np.random.default_rng(0)


def test_every_row_gets_length_one_and_keeps_its_direction() -> None:
    rows = DRAW.normal(size=(50, 7)).astype(np.float32)
    unit = unit_rows(rows)
    assert unit.dtype == np.float32
    oracle = rows.astype(np.float64) / np.sqrt((rows.astype(np.float64) ** 2).sum(1))[:, None]
    np.testing.assert_allclose(unit, oracle, atol=1e-6)


def test_tiny_and_large_rows_keep_their_direction() -> None:
    rows = np.array([[3e-15, 4e-15], [3e15, 4e15]], np.float32)
    np.testing.assert_allclose(unit_rows(rows), [[0.6, 0.8], [0.6, 0.8]], rtol=1e-6)


def test_no_rows_are_no_rows() -> None:
    assert unit_rows(np.empty((0, 3), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_row_without_direction_is_named(bad: float) -> None:
    rows = np.ones((4, 2), np.float32)
    rows[[2, 3]] = bad
    said = (
        "2 of 4 features have no direction (length 0 or not finite), the first is row 2. "
        "Another precision, such as fp32, usually cures it."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        unit_rows(rows)


@pytest.mark.parametrize(
    "wrong", [np.ones(3, np.float32), np.ones((2, 3)), np.ones((2, 3), np.float16)]
)
def test_another_shape_or_type_is_an_error_under_test(wrong: np.ndarray) -> None:
    with pytest.raises(TypeCheckError):
        unit_rows(wrong)
