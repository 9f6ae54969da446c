import re

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from tasks.compute.images import MIN_COSINE, FeatureBuffers, check_same_feature

DRAW = np.random.default_rng(0)


def drawn(*shape: int) -> np.ndarray:
    return DRAW.normal(size=shape).astype(np.float32)


def test_batches_fill_their_rows_in_any_order() -> None:
    pooled, tokens = drawn(5, 4), drawn(5, 3, 2)
    rows = FeatureBuffers.empty(5, 4, (3, 2))
    for span in (slice(3, 5), slice(0, 3)):
        rows.put(span, pooled[span], tokens[span])
    assert rows.tokens is not None
    np.testing.assert_array_equal(rows.pooled, pooled.astype(np.float16))
    np.testing.assert_array_equal(rows.tokens, tokens.astype(np.float16))


def test_without_a_shape_there_are_no_tokens() -> None:
    rows = FeatureBuffers.empty(2, 4, None)
    rows.put(slice(0, 2), drawn(2, 4), drawn(2, 3, 2))
    assert rows.tokens is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 65520.0])
def test_numbers_that_float16_cannot_say_are_refused_with_their_rows(bad: float) -> None:
    rows = FeatureBuffers.empty(6, 2, None)
    pooled = np.ones((3, 2), np.float32)
    pooled[1, 1] = bad
    said = (
        "Features of rows 2 to 4 are not finite in float16: the model gave NaN, infinity or more "
        "than 65504. Another precision, such as fp32, usually cures it."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        rows.put(slice(2, 5), pooled, None)


def test_tokens_are_looked_at_like_pooled_features() -> None:
    rows = FeatureBuffers.empty(1, 2, (1, 2))
    with pytest.raises(ValueError, match="rows 0 to 0 are not finite"):
        rows.put(slice(0, 1), np.ones((1, 2), np.float32), np.full((1, 1, 2), 1e6, np.float32))


def test_float64_or_another_number_of_axes_is_an_error_under_test() -> None:
    rows = FeatureBuffers.empty(2, 4, None)
    for wrong in (np.ones((2, 4)), np.ones(4, np.float32)):
        with pytest.raises(TypeCheckError):
            rows.put(slice(0, 2), wrong, None)


# The check of stored rows


@pytest.mark.parametrize("precision", MIN_COSINE)
def test_what_rounding_does_is_the_same_feature(precision: str) -> None:
    feature = drawn(384)
    check_same_feature(feature, feature.astype(np.float16), precision, "part")


def at_cosine(feature: np.ndarray, cosine: float) -> np.ndarray:
    """Return a feature whose cosine with `feature` is `cosine`."""
    along = feature / np.linalg.norm(feature)
    other = drawn(len(feature))
    across = other - (other @ along) * along
    across /= np.linalg.norm(across)
    return np.asarray(cosine * along + (1 - cosine**2) ** 0.5 * across, np.float32)


@pytest.mark.parametrize(
    ("precision", "cosine", "is_same"),
    [
        ("fp32", 0.99995, True),
        ("fp32", 0.9998, False),
        ("fp16", 0.9995, True),
        ("fp16", 0.998, False),
        ("bf16", 0.995, True),
        ("bf16", 0.98, False),
    ],
)
def test_how_alike_they_must_be_depends_on_the_precision(
    precision: str, cosine: float, is_same: bool
) -> None:
    stored = drawn(384).astype(np.float16)
    again = at_cosine(stored.astype(np.float32), cosine)
    if is_same:
        check_same_feature(again, stored, precision, "part")
        return
    with pytest.raises(ValueError, match="gives another feature than is stored"):
        check_same_feature(again, stored, precision, "part")


def test_another_feature_is_told_with_part_cosine_and_way_out() -> None:
    with pytest.raises(ValueError, match="another feature") as caught:
        check_same_feature(
            np.array([1, 0], np.float32), np.array([0, 1], np.float16), "fp32", "p.00000"
        )
    said = str(caught.value)
    assert said.startswith(
        "The first image of part p.00000, encoded again, gives another feature than is stored: "
        "cosine 0.00000, at least 0.9999 was expected of fp32."
    )
    assert said.endswith("remove the draft and add --set runtime.take_over=false.")


def test_a_feature_that_is_not_a_number_is_never_the_same() -> None:
    nan = np.full(2, np.nan, np.float32)
    with pytest.raises(ValueError, match="cosine nan"):
        check_same_feature(nan, np.ones(2, np.float16), "bf16", "part")
