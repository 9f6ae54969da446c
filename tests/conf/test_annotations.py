from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from conf.annotations import AnnotationRecipe, AnyLabels, CocoLabels, VocLabels, YoloLabels


def parse(**said: Any) -> Any:
    return TypeAdapter(AnyLabels).validate_python(said)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"format": "coco", "path": "a.json"}, CocoLabels(path=Path("a.json"))),
        ({"format": "yolo", "root": "a"}, YoloLabels(root=Path("a"))),
        (
            {"format": "voc", "root": "a", "first_pixel": 0},
            VocLabels(root=Path("a"), first_pixel=0),
        ),
    ],
)
def test_the_format_chooses_the_settings(said: dict[str, Any], found: object) -> None:
    assert parse(**said) == found


def test_an_unknown_format_names_those_that_are_read() -> None:
    with pytest.raises(ValidationError, match="'cells', 'yolo', 'coco', 'voc'"):
        parse(format="labelme")


@pytest.mark.parametrize("kind", ["yolo", "voc"])
def test_two_classes_of_one_name_are_refused(kind: str) -> None:
    with pytest.raises(ValidationError, match="two classes bear the name 'a'; rename one"):
        parse(format=kind, root="x", names=("a", "b", "a"))


def test_what_is_known_is_the_key() -> None:
    keys = {AnnotationRecipe(rows_sha256=digit * 64, images=3).key() for digit in "aab"}
    assert len(keys) == 2
