"""YOLO's text files, the good lines and the bad ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conf.annotations import YoloLabels
from conf.sources.folder import Source
from storage.annotations import read_labels
from storage.annotations.rle import decode
from storage.annotations.truth import Annotations
from storage.annotations.yolo import label_path
from storage.dataset import Ledger
from storage.readers.protocol import SourceMissing, SourceUnusable

NAMES = ("red", "white")


@pytest.fixture
def read(tmp_path: Path, ledger_of: Callable[..., Ledger]) -> Callable[..., Annotations]:
    """Read the labels of images/a.png, images/b.png..., whose texts are given; None: no file."""

    def do(*texts: str | bytes | None, names: tuple[str, ...] | None = NAMES) -> Annotations:
        root = tmp_path / "set"
        ledger = ledger_of(*(f"images/{'abc'[at]}.png" for at in range(len(texts))))
        (root / "labels").mkdir(exist_ok=True)
        for at, text in enumerate(texts):
            if text is not None:
                data = text if isinstance(text, bytes) else text.encode()
                (root / "labels" / f"{'abc'[at]}.txt").write_bytes(data)
        return read_labels(YoloLabels(root=root, names=names), Source(root=root), ledger)

    return do


def reasons(known: Annotations) -> list[tuple[int | None, str, str]]:
    return [(fault.line, fault.action, fault.reason) for fault in known.faults()]


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("images/images/a.jpg", "images/labels/a.txt"),
        ("train/images/a.b.png", "train/labels/a.b.txt"),
        ("a.jpg", "a.txt"),
    ],
)
def test_the_last_folder_images_becomes_labels(uri: str, path: str) -> None:
    assert str(label_path(uri)) == path


def test_boxes_are_shares_of_the_upright_image(read: Callable[..., Annotations]) -> None:
    known = read("1 0.5 0.5 0.25 0.5\n\n0 .25 .25 .5 .5\n")
    (sha256,) = known.contents
    truth = known.of(sha256)
    assert truth is not None
    assert truth.boxes_px.tolist() == [[0, 0, 20, 10], [15, 5, 25, 15]]
    assert truth.class_ids.tolist() == [0, 1]
    assert truth.masks == (None, None)
    assert known.names == NAMES
    assert not known.faults()


def test_polygons_give_masks_and_the_boxes_around_them(read: Callable[..., Annotations]) -> None:
    known = read("1 0.25 0.1 0.5 0.1 0.5 0.6 0.25 0.6\n")
    truth = known.of(known.contents[0])
    assert truth is not None
    assert truth.boxes_px.tolist() == [[10, 2, 20, 12]]
    assert truth.masks[0] is not None
    mask = decode(truth.masks[0])
    assert mask.shape == (20, 40)
    assert np.argwhere(mask).min(axis=0).tolist() == [2, 10]
    assert mask.sum() == 100


def test_no_file_is_no_ground_truth_and_an_empty_one_an_empty_image(
    read: Callable[..., Annotations],
    ledger_of: Callable[..., Ledger],
    sha256_of: Callable[..., str],
) -> None:
    known = read(None, "")
    ledger = ledger_of("images/a.png", "images/b.png")
    assert known.of(sha256_of(ledger, "images/a.png")) is None
    empty = known.of(sha256_of(ledger, "images/b.png"))
    assert empty is not None
    assert len(empty) == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2 0.5 0.5 0.2 0.2", "class out of range: 2, the classes are 0 to 1"),
        ("-1 0.5 0.5 0.2 0.2", "class out of range: -1, the classes are 0 to 1"),
        ("0.5 0.5 0.5 0.2 0.2", "not a number: '0.5 0.5 0.5 0.2 0.2'"),
        ("red 0.5 0.5 0.2 0.2", "not a number: 'red 0.5 0.5 0.2 0.2'"),
        ("0 nan 0.5 0.2 0.2", "not a number: an edge of the box"),
        ("inf 0.5 0.5 0.2 0.2", "not a number: 'inf 0.5 0.5 0.2 0.2'"),
        (
            "0 1.5 0.5 0.2 0.2",
            "outside the image: the box (56.0, 8.0, 64.0, 12.0) of an image of 40 x 20 px",
        ),
        ("0 1e300 0.5 0.2 0.2", "outside the image: an edge of the box at 4e+301 px"),
        ("0 0.5 0.5 0 0.2", "empty box: (20.0, 8.0, 20.0, 12.0)"),
        ("0 0.5 0.5 -0.2 -0.2", "empty box: a width of -0.2 and a height of -0.2"),
        ("0 0.5 0.5", "3 values: a box has 5, a polygon an odd number from 7 on"),
        ("0 0.5 0.5 0.2 0.2 0.9", "6 values: a box has 5, a polygon an odd number from 7 on"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_the_others_stay(
    read: Callable[..., Annotations], line: str, reason: str
) -> None:
    known = read(f"0 0.5 0.5 0.5 0.5\n{line}\n1 0.5 0.5 0.5 0.5\n")
    assert reasons(known) == [(2, "refused", reason)]
    assert known.faults()[0].file == "labels/a.txt"
    truth = known.of(known.contents[0])
    assert truth is not None
    assert truth.class_ids.tolist() == [0, 1]


def test_a_polygon_of_two_points_is_no_box(read: Callable[..., Annotations]) -> None:
    known = read("0 0.1 0.1 0.6 0.1 0.6 0.6\n1 0.1 0.1 0.6 0.6\n")
    assert reasons(known) == [(2, "refused", "polygon with 2 points: it needs three")]
    truth = known.of(known.contents[0])
    assert truth is not None
    assert truth.class_ids.tolist() == [0]


def test_a_box_that_reaches_out_is_cut_and_told_unless_it_is_rounding(
    read: Callable[..., Annotations],
) -> None:
    known = read("0 0.0 0.5 0.5 0.5\n1 0.5 0.5 1.02 1.02\n")
    said = "reaches out: the box (-10.0, 5.0, 10.0, 15.0) of an image of 40 x 20 px"
    assert reasons(known) == [(1, "clipped", said)]
    truth = known.of(known.contents[0])
    assert truth is not None
    assert truth.boxes_px.tolist() == [[0, 5, 10, 15], [0, 0, 40, 20]]


def test_an_image_all_whose_objects_were_refused_is_not_known_to_be_empty(
    read: Callable[..., Annotations],
) -> None:
    known = read("7 0.5 0.5 0.2 0.2\n", b"\xff\xfe0 0.5")
    assert known.contents == ()
    assert [reason for _, _, reason in reasons(known)] == [
        "class out of range: 7, the classes are 0 to 1",
        "not UTF-8: invalid start byte",
    ]


def test_a_label_file_of_no_image_is_told(tmp_path: Path, read: Callable[..., Annotations]) -> None:
    (tmp_path / "set" / "labels").mkdir(parents=True)
    for name in ("misspelt.txt", "other.txt", "classes.txt"):
        (tmp_path / "set" / "labels" / name).write_text("0 0.5 0.5 0.2 0.2")
    (fault,) = read("").faults()
    assert fault.file == "labels/misspelt.txt"
    assert fault.reason == "no such image: of this file and 1 more files the dataset holds no image"


def test_a_label_file_outside_the_roots_is_not_read(
    tmp_path: Path, read: Callable[..., Annotations]
) -> None:
    (tmp_path / "secret.txt").write_text("0 0.5 0.5 0.2 0.2")
    (tmp_path / "set" / "labels").mkdir(parents=True)
    (tmp_path / "set" / "labels" / "a.txt").symlink_to(tmp_path / "secret.txt")
    known = read(None)
    assert known.contents == ()
    assert known.faults()[0].reason.startswith("outside the roots: ")


def test_two_files_about_the_same_image_may_not_contradict_each_other(
    tmp_path: Path, ledger_of: Callable[..., Ledger]
) -> None:
    root = tmp_path / "set"
    ledger_of("a.png")
    for name, box in (("b", "0.5 0.5 0.5 0.5"), ("c", "0.5 0.5 0.2 0.5")):
        (root / f"{name}.png").write_bytes((root / "a.png").read_bytes())
        (root / f"{name}.txt").write_text(f"0 {box}")
    (root / "a.txt").write_text("0 0.5 0.5 0.5 0.5")
    known = read_labels(YoloLabels(root=root, names=NAMES), Source(root=root), ledger_of("a.png"))
    assert len(known) == 1
    (fault,) = known.faults()
    assert fault.file == "c.txt"
    assert fault.reason == (
        "contradiction: c.png is the same image as a.png, of which a.txt says something else"
    )


@pytest.mark.parametrize("written", ["names: [red, white]", "names: {1: white, 0: red}"])
def test_names_come_from_the_yaml_file(
    tmp_path: Path, read: Callable[..., Annotations], written: str
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "data.yaml").write_text(written)
    assert read("1 0.5 0.5 0.2 0.2", names=None).names == NAMES


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (None, "is not there, and nothing else names the classes. Set labels.data to the YAML"),
        ("names: {1: white, 2: red}", "names no classes: `names` is a list, or a table of 0, 1"),
        ("nc: 2", "names no classes"),
        ("[", "is not YAML"),
    ],
)
def test_without_names_nothing_is_read(
    tmp_path: Path, read: Callable[..., Annotations], written: str | None, says: str
) -> None:
    (tmp_path / "set").mkdir()
    if written:
        (tmp_path / "set" / "data.yaml").write_text(written)
    with pytest.raises(SourceUnusable, match=says):
        read("1 0.5 0.5 0.2 0.2", names=None)


def test_a_folder_that_is_not_there_is_told_with_the_nearest(
    tmp_path: Path, ledger_of: Callable[..., Ledger]
) -> None:
    labels = YoloLabels(root=tmp_path / "sett", names=NAMES)
    with pytest.raises(SourceMissing, match=r"folder of labels .* Did you mean 'set'\?"):
        read_labels(labels, Source(root=tmp_path), ledger_of("a.png"))
