"""COCO's JSON files, beside pycocotools, and what is wrong in some."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.annotations import CocoLabels
from conf.sources.folder import Source
from storage.annotations import read_labels
from storage.annotations.rle import compress, decode, encode
from storage.annotations.truth import Annotations
from storage.dataset import Ledger
from storage.readers.protocol import SourceMissing, SourceUnusable

CATEGORIES = [
    {"id": 7, "name": "white", "supercategory": "cell"},
    {"id": 3, "name": "red", "supercategory": "cell"},
]
MASK = np.zeros((20, 40), dtype=bool)
MASK[4:9, 11:30] = True
RUNS = encode(MASK)
SQUARE = [10.0, 2.0, 20.0, 2.0, 20.0, 12.0, 10.0, 12.0]


def item(**said: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 2, 10, 10], **said}


@pytest.fixture
def read(tmp_path: Path, ledger_of: Callable[..., Ledger]) -> Callable[..., Annotations]:
    """Read the annotations given, of "a.png" unless said otherwise."""

    def do(*items: Any, **said: Any) -> Annotations:
        images = [{"id": 1, "file_name": "a.png", "width": 40, "height": 20}]
        content = {"images": images, "annotations": items, "categories": CATEGORIES} | said
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content))
        return read_labels(
            CocoLabels(path=path), Source(root=tmp_path), ledger_of("val/a.png", "val/b.png")
        )

    return do


def test_classes_are_the_categories_in_the_order_of_their_ids(
    read: Callable[..., Annotations],
) -> None:
    known = read(item(), item(id=2, category_id=7, bbox=[1, 1, 2, 2]))
    assert known.names == ("red", "white")
    assert known.superclasses == ("cell", "cell")
    truth = known.of(known.contents[0])
    assert truth is not None
    assert truth.class_ids.tolist() == [0, 1]
    assert truth.boxes_px.tolist() == [[10, 2, 20, 12], [1, 1, 3, 3]]
    assert truth.masks == (None, None)


@pytest.mark.parametrize(
    "shape",
    [
        RUNS,
        {"size": [20, 40], "counts": compress(RUNS["counts"])},
        [[11.0, 4.0, 30.0, 4.0, 30.0, 9.0, 11.0, 9.0]],
        [[11.0, 4.0, 15.0, 4.0, 15.0, 9.0, 11.0, 9.0], [15, 4, 30, 4, 30, 9, 15, 9]],
    ],
    ids=["runs", "compressed", "polygon", "two polygons"],
)
def test_runs_compressed_or_not_and_polygons_are_the_same_mask(
    read: Callable[..., Annotations], shape: Any
) -> None:
    known = read(item(segmentation=shape))
    truth = known.of(known.contents[0])
    assert truth is not None
    assert truth.masks[0] is not None
    assert np.array_equal(decode(truth.masks[0]), MASK)
    assert truth.boxes_px.tolist() == [[10, 2, 20, 12]], "the box is the file's own"


def test_without_a_box_it_is_the_masks(read: Callable[..., Annotations]) -> None:
    for shape in (RUNS, [SQUARE]):
        said = item(segmentation=shape)
        del said["bbox"]
        truth = (known := read(said)).of(known.contents[0])
        assert truth is not None
        expected = [11, 4, 30, 9] if shape is RUNS else [10, 2, 20, 12]
        assert truth.boxes_px.tolist() == [expected]


def test_a_listed_image_is_known_to_be_empty_and_one_that_is_not_is_unknown(
    read: Callable[..., Annotations],
) -> None:
    known = read()
    (sha256,) = known.contents
    truth = known.of(sha256)
    assert truth is not None
    assert len(truth) == 0


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"category_id": 4}, "class out of range: category 4, known are 3, 7"),
        (
            {"bbox": [50, 2, 5, 5]},
            "outside the image: the box (50.0, 2.0, 55.0, 7.0) of an image of 40 x 20 px",
        ),
        ({"bbox": [5, 2, 0, 5]}, "empty box: (5.0, 2.0, 5.0, 7.0)"),
        ({"bbox": [5, 2, 5]}, "not an object of COCO: not enough values to unpack"),
        ({"bbox": "none"}, "not an object of COCO: could not convert string to float: 'n'"),
        ({"segmentation": [[1, 1, 5, 5]]}, "polygon with 2 points: it needs three"),
        (
            {"segmentation": [[1, 1, 5, 5, -1e300, 3]]},
            "outside the image: a point at 1e+300 px",
        ),
        ({"segmentation": [SQUARE, [1, 1]]}, "polygon with 1 points: it needs three"),
        ({"segmentation": [[1, 1, 5, 5, 9]]}, "not an object of COCO: a polygon of 5 coordinates"),
        ({"iscrowd": 1, "segmentation": RUNS}, "crowd: a region of many objects is no object"),
        (
            {"segmentation": {"size": [20, 40], "counts": [3]}},
            "not an object of COCO: runs of 3 pixels in all for a mask of 20 x 40 = 800",
        ),
        (
            {"segmentation": {"size": [9, 9], "counts": [81]}},
            "another size: a mask of 9 x 9 px of an image of 40 x 20 px",
        ),
        (
            {"segmentation": {"size": [20, 40], "counts": [800]}},
            "empty mask: its runs hold no pixel",
        ),
        (
            {"segmentation": {"size": [20, 40], "counts": "P"}},
            "not an object of COCO: compressed run lengths that end amid a number",
        ),
    ],
)
def test_a_bad_object_is_told_with_its_id_and_the_others_stay(
    read: Callable[..., Annotations], said: dict[str, Any], reason: str
) -> None:
    known = read(item(), item(id=12, **said))
    (fault,) = known.faults()
    assert (fault.file, fault.line, fault.action) == ("instances.json", 12, "refused")
    assert fault.reason.startswith(reason)
    truth = known.of(known.contents[0])
    assert truth is not None
    assert len(truth) == 1


def test_ids_of_categories_may_be_anything(read: Callable[..., Annotations]) -> None:
    odd: list[Any] = [1.5, [2], "three", None]
    categories = [{"id": value, "name": f"kind {value}"} for value in odd]
    known = read(
        *(item(id=at, category_id=value) for at, value in enumerate(odd)), categories=categories
    )
    assert known.faults() == ()
    truth = known.of(known.contents[0])
    assert truth is not None
    assert {known.names[at] for at in truth.class_ids} == {f"kind {value}" for value in odd}


def test_labels_of_another_size_are_refused_whole(read: Callable[..., Annotations]) -> None:
    images = [{"id": 1, "file_name": "a.png", "width": 20, "height": 40}]
    known = read(item(), images=images)
    assert known.contents == ()
    assert [fault.reason for fault in known.faults()] == [
        "another size: val/a.png has 40 x 20 px upright, the labels are of one of 20 x 40"
    ]


def test_images_and_objects_that_belong_nowhere_are_told(
    read: Callable[..., Annotations],
) -> None:
    images = [{"id": n, "file_name": f"{n}.png"} for n in (1, 2)]
    known = read(item(image_id=9, id=5), images=images)
    assert [(fault.line, fault.reason) for fault in known.faults()] == [
        (None, "no such image: the dataset holds no '1.png' and 1 more"),
        (5, "no such image: the file lists none of id 9"),
    ]


def test_a_name_that_ends_two_uris_is_ambiguous(
    tmp_path: Path, read: Callable[..., Annotations], ledger_of: Callable[..., Ledger]
) -> None:
    ledger_of("val/x.png", "val/y.png", "train/a.png")
    (fault,) = read(item()).faults()
    assert fault.reason == (
        "ambiguous: 'a.png' ends the names of 2 images, such as train/a.png and val/a.png"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "is not in COCO's format: it lacks the list 'images'"),
        ('{"images": [], "annotations": [3]}', "it lacks the list 'annotations' of objects"),
        ("[" * 100_000, "is not JSON"),
    ],
    ids=["broken", "detections", "numbers", "deep"],
)
def test_a_file_that_is_not_cocos_is_told(
    tmp_path: Path, ledger_of: Callable[..., Ledger], text: str, says: str
) -> None:
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(SourceUnusable, match=says):
        read_labels(CocoLabels(path=path), Source(root=tmp_path), ledger_of("a.png"))


def test_a_file_that_is_not_there_is_told_with_the_nearest(
    tmp_path: Path, ledger_of: Callable[..., Ledger]
) -> None:
    (tmp_path / "instances.json").touch()
    missing = CocoLabels(path=tmp_path / "instance.json")
    with pytest.raises(SourceMissing, match=r"Did you mean 'instances.json'\?"):
        read_labels(missing, Source(root=tmp_path), ledger_of("a.png"))
