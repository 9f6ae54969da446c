import pytest
from pydantic import ValidationError

from conf.detections import DetectionRecipe, Thresholds
from conf.keys import ArtifactKey
from conf.models import ModelSpec

MODEL = ModelSpec(
    family="yolo", name="yolo11n-seg", precision="fp32", sha256="0" * 64, library="ultralytics==1"
)
CONTENT = ArtifactKey("content", 1, "0123456789abcdef")
TRUTH = ArtifactKey("annotations", 1, "0123456789abcdef")


def test_the_key_is_the_one_that_was_published_before() -> None:
    assert (
        str(DetectionRecipe(model=MODEL).key(content=CONTENT)) == "detections-v1-fe9ba45ab9a40c49"
    )


def test_detections_are_chosen_as_ultralytics_chooses_them() -> None:
    assert Thresholds() == Thresholds(conf=0.25, iou=0.7, max_det=300)


def test_images_and_annotations_only_say_which_rows_are_wanted() -> None:
    recipe = DetectionRecipe(model=MODEL)
    alone, known = {"content": CONTENT}, {"content": CONTENT, "annotations": TRUTH}
    assert recipe.family(alone) == recipe.family(known)
    assert recipe.key(**alone) != recipe.key(**known)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"size_px": 650}, "a multiple of 32 px, such as 640 or 672"),
        ({"layers": (3, 3)}, "different places in the model"),
        ({"layers": (-1,)}, "different places in the model"),
        ({"thresholds": {"conf": 0}}, "greater than 0"),
        ({"thresholds": {"max_det": 0}}, "greater than or equal to 1"),
    ],
)
def test_wrong_settings_are_told(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        DetectionRecipe.model_validate({"model": MODEL, **wrong})
