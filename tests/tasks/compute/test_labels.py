from typing import Any

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from numpy.typing import NDArray

from tasks.compute.labels import BestLabels, best_labels

DRAW = np.random.default_rng(0)


def unit(rows: int, dim: int = 8) -> NDArray[np.float32]:
    drawn = DRAW.normal(size=(rows, dim))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def best(images: np.ndarray, texts: np.ndarray, **changes: Any) -> BestLabels:
    given: dict[str, Any] = {"scale": 20.0, "bias": None, "activation": "softmax", "top": 3}
    return best_labels(images, texts, **given | changes)


def softmax_of(cosines: np.ndarray, scale: float) -> np.ndarray:
    powers = np.exp(scale * cosines.astype(np.float64))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("scale", [1.0, 27.0, 100.0])
def test_softmax_confidences_are_shares_of_all_labels(scale: float) -> None:
    images, texts = unit(6), unit(9)
    made = best(images, texts, scale=scale, top=9)
    expected = softmax_of(images.astype(np.float64) @ texts.T.astype(np.float64), scale)
    np.testing.assert_allclose(
        made.confidences, np.take_along_axis(expected, made.labels, 1), atol=1e-5
    )
    np.testing.assert_allclose(made.confidences.sum(axis=1), 1, atol=1e-5)


def test_the_best_labels_come_first() -> None:
    images, texts = unit(20), unit(12)
    made = best(images, texts, top=4)
    for row, image in enumerate(images):
        ranked = sorted(range(12), key=lambda label: -float(texts[label] @ image))
        assert made.labels[row].tolist() == ranked[:4]
    assert (np.diff(made.cosines) <= 0).all()


def test_a_share_is_of_all_labels_not_of_the_shown_ones() -> None:
    images, texts = unit(3), unit(7)
    few, all_of_them = best(images, texts, top=2), best(images, texts, top=7)
    np.testing.assert_array_equal(few.confidences, all_of_them.confidences[:, :2])


def test_cosines_are_what_they_are_called() -> None:
    images, texts = unit(4), unit(5)
    made = best(images, texts)
    exact = images.astype(np.float64) @ texts.T.astype(np.float64)
    np.testing.assert_allclose(made.cosines, np.take_along_axis(exact, made.labels, 1), atol=1e-6)


def test_ties_go_in_the_order_of_the_vocabulary() -> None:
    texts = np.array([[0, 1], [1, 0], [1, 0], [1, 0]], np.float32)
    made = best(np.array([[1, 0]], np.float32), texts, top=4)
    assert made.labels.tolist() == [[1, 2, 3, 0]]


@pytest.mark.parametrize("bias", [None, -10.0])
def test_sigmoid_is_a_probability_for_each_label_by_itself(bias: float | None) -> None:
    images, texts = unit(4), unit(5)
    made = best(images, texts, activation="sigmoid", bias=bias, top=5)
    logits = 20 * (images.astype(np.float64) @ texts.T.astype(np.float64)) + (bias or 0)
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(
        made.confidences, np.take_along_axis(expected, made.labels, 1), rtol=1e-4
    )


def test_a_bias_changes_no_softmax() -> None:
    images, texts = unit(4), unit(5)
    with_bias, without = best(images, texts, bias=-10.0), best(images, texts)
    np.testing.assert_allclose(with_bias.confidences, without.confidences, atol=1e-5)


def test_large_scales_overflow_nothing() -> None:
    made = best(unit(4), unit(5), scale=1e6, top=5)
    assert np.isfinite(made.confidences).all()


def test_what_comes_out_has_the_types_of_the_format_page() -> None:
    made = best(unit(4), unit(5))
    assert [array.dtype.name for array in made] == ["int64", "float32", "float32"]
    assert [array.shape for array in made] == [(4, 3)] * 3


@pytest.mark.parametrize(
    ("images", "texts"),
    [(unit(4, 8), unit(5, 9)), (unit(4).astype(np.float64), unit(5)), (unit(4)[0], unit(5))],
)
def test_shapes_that_do_not_fit_are_errors_under_test(
    images: np.ndarray, texts: np.ndarray
) -> None:
    with pytest.raises(TypeCheckError):
        best(images, texts)
