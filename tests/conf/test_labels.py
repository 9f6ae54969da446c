import pytest
from pydantic import ValidationError

from conf.keys import ArtifactKey
from conf.labels import LabelRecipe

IMAGES = ArtifactKey("image-features", 1, "0123456789abcdef")
PROMPTS = ArtifactKey("prompt-features", 1, "0123456789abcdef")


def test_how_many_labels_is_in_the_key() -> None:
    keys = {LabelRecipe(top=top).key(images=IMAGES, prompts=PROMPTS) for top in (3, 5)}
    assert len(keys) == 2
    assert LabelRecipe().key(images=IMAGES, prompts=PROMPTS) in keys


@pytest.mark.parametrize("top", [0, -1])
def test_an_image_gets_at_least_one_label(top: int) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        LabelRecipe(top=top)


def test_labels_of_other_images_are_another_artifact_and_another_family() -> None:
    other = ArtifactKey("image-features", 1, "f" * 16)
    inputs = {"images": IMAGES, "prompts": PROMPTS}
    assert LabelRecipe().family(inputs) != LabelRecipe().family(inputs | {"images": other})
