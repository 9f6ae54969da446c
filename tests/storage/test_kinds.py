import pytest

from storage.errors import StoreError
from storage.kinds import find_kind, stem_of


@pytest.mark.parametrize(
    ("kind", "stem"),
    [("dataset", "dataset"), ("image-features", "images"), ("prompt-features", "prompts")],
)
def test_a_kind_is_found_by_the_capability_whose_recipe_names_it(kind: str, stem: str) -> None:
    assert stem_of(kind) == stem
    assert find_kind(kind).name == kind


def test_image_features_are_row_wise_and_datasets_are_not() -> None:
    assert find_kind("image-features").row_wise
    assert not find_kind("dataset").row_wise


def test_an_unknown_kind_is_answered_with_the_nearest() -> None:
    with pytest.raises(StoreError, match=r"No capability here makes 'image-feature' .*'image-feat"):
        find_kind("image-feature")
