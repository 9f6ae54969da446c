import pytest
from pydantic import ValidationError

from conf.models import ModelSpec


def test_precision_has_no_default() -> None:
    with pytest.raises(ValidationError, match="precision\n  Field required"):
        ModelSpec(family="pocket")  # type: ignore[call-arg]


@pytest.mark.parametrize("precision", ["auto", "fp64", "FP32", ""])
def test_precision_is_never_auto_nor_unknown(precision: str) -> None:
    with pytest.raises(ValidationError, match="'fp32', 'fp16' or 'bf16'"):
        ModelSpec(family="pocket", precision=precision)  # type: ignore[arg-type]


def test_a_spec_is_resolved_when_it_names_weights_and_library() -> None:
    spec = ModelSpec(family="pocket", precision="fp32")
    assert not spec.is_resolved
    assert not spec.model_copy(update={"sha256": "0" * 64}).is_resolved
    assert spec.model_copy(update={"sha256": "0" * 64, "library": "a==1"}).is_resolved


@pytest.mark.parametrize(
    ("weights", "is_random"), [("random:0", True), ("default", False), ("randomly", False)]
)
def test_random_weights_say_so(weights: str, is_random: bool) -> None:
    assert ModelSpec(family="a", precision="fp32", weights=weights).is_random is is_random


def test_a_spec_can_name_a_dictionary_s_entry() -> None:
    spec = ModelSpec(family="pocket", precision="fp32")
    assert {spec: 1}[ModelSpec(family="pocket", precision="fp32")] == 1
