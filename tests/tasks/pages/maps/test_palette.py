"""Colours of classes can be told apart, those of numbers rise evenly."""

import numpy as np
import pytest

from tasks.pages.maps.palette import MOST, class_colours, from_hex, ramp


@pytest.mark.parametrize(("count", "least"), [(10, 0.1), (MOST, 0.08)])
def test_classes_differ_by_more_than_the_eye_needs(count: int, least: float) -> None:
    lab = from_hex(list(class_colours(count)))
    gaps = np.linalg.norm(lab[:, None] - lab[None], axis=2) + np.eye(count)
    assert gaps.min() > least  # 0.02 is about what an eye just tells apart


def test_colours_show_on_white_and_on_black() -> None:
    light = from_hex(list(class_colours(MOST)))[:, 0]
    assert light.min() > 0.4
    assert light.max() < 0.8


def test_the_score_ramp_grows_lighter_throughout() -> None:
    assert (np.diff(from_hex(list(ramp("score")))[:, 0]) > 0).all()


def test_low_trust_is_vivid_and_high_trust_is_quiet() -> None:
    chroma = np.linalg.norm(from_hex(list(ramp("trust")))[:, 1:], axis=1)
    assert chroma[0] > 3 * chroma[-1]


def test_between_low_and_high_trust_lies_grey_not_green() -> None:
    assert (from_hex(list(ramp("trust")))[:, 1] > -0.03).all()


def test_black_and_white_are_where_oklab_puts_them() -> None:
    np.testing.assert_allclose(from_hex(["#000000", "#ffffff"]), [[0, 0, 0], [1, 0, 0]], atol=1e-3)
