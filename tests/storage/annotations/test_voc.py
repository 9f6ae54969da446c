"""Pascal VOC's XML files, and what is wrong in some."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conf.annotations import VocLabels
from conf.sources.folder import Source
from storage.annotations import read_labels
from storage.annotations.truth import Annotations
from storage.annotations.voc import NotVoc, parse
from storage.dataset import Ledger

BOX = "<bndbox><xmin>11</xmin><ymin>3</ymin><xmax>20</xmax><ymax>12</ymax></bndbox>"
SIZE = "<size><width>40</width><height>20</height><depth>3</depth></size>"


def item(name: str = "red", box: str = BOX) -> str:
    part = "<part><name>nucleus</name><bndbox><xmin>1</xmin></bndbox></part>"
    return f"<object>\n<name>{name}</name><difficult>0</difficult>{part}{box}</object>\n"


def document(*items: str, size: str = SIZE) -> str:
    return f"<annotation>\n<filename>x.jpg</filename>{size}\n{''.join(items)}</annotation>"


@pytest.fixture
def read(tmp_path: Path, ledger_of: Callable[..., Ledger]) -> Callable[..., Annotations]:
    """Read the labels of JPEGImages/a.png, as the text is given; of b.png there are none."""

    def do(text: str, names: tuple[str, ...] | None = None, first_pixel: int = 1) -> Annotations:
        root = tmp_path / "Annotations"
        root.mkdir(exist_ok=True)
        (root / "a.xml").write_text(text, encoding="utf-8")
        labels = VocLabels.model_validate(
            {"root": root, "names": names, "first_pixel": first_pixel}
        )
        ledger = ledger_of("JPEGImages/a.png", "JPEGImages/b.png")
        return read_labels(labels, Source(root=tmp_path / "set"), ledger)

    return do


def test_boxes_count_pixels_from_one_and_hold_the_last(read: Callable[..., Annotations]) -> None:
    known = read(document(item("white"), item("red")))
    assert known.names == ("red", "white"), "sorted, where no names are given"
    truth = known.of(known.contents[0])
    assert truth is not None
    assert truth.boxes_px.tolist() == [[10, 2, 20, 12]] * 2
    assert truth.class_ids.tolist() == [0, 1]
    assert not known.faults()


def test_tools_that_count_from_zero_are_said(read: Callable[..., Annotations]) -> None:
    known = read(document(item()), first_pixel=0)
    truth = known.of(known.contents[0])
    assert truth is not None
    assert truth.boxes_px.tolist() == [[11, 3, 21, 13]]


def test_a_file_without_objects_is_an_empty_image_and_no_file_an_unknown_one(
    read: Callable[..., Annotations],
    ledger_of: Callable[..., Ledger],
    sha256_of: Callable[..., str],
) -> None:
    known = read(document())
    ledger = ledger_of("JPEGImages/a.png", "JPEGImages/b.png")
    empty = known.of(sha256_of(ledger, "JPEGImages/a.png"))
    assert empty is not None
    assert len(empty) == 0
    assert known.of(sha256_of(ledger, "JPEGImages/b.png")) is None


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (item("whyte"), "class unknown: 'whyte', did you mean 'white'?"),
        ("<object>\n</object>\n", "class unknown: None"),
        (item(box=""), "no box: xmin, ymin, xmax, ymax is missing or no number"),
        (item(box=BOX.replace("20", "x")), "no box: xmax is missing or no number"),
        (item(box=BOX.replace("20", "5")), "empty box: (10.0, 2.0, 5.0, 12.0)"),
        (
            item(box=BOX.replace("11", "61").replace("20", "70")),
            "outside the image: the box (60.0, 2.0, 70.0, 12.0) of an image of 40 x 20 px",
        ),
    ],
)
def test_a_bad_object_is_told_with_its_line_and_the_others_stay(
    read: Callable[..., Annotations], bad: str, reason: str
) -> None:
    known = read(document(item(), bad), names=("white", "red"))
    (fault,) = known.faults()
    assert (fault.file, fault.line, fault.action) == ("a.xml", 5, "refused")
    assert fault.reason == reason
    truth = known.of(known.contents[0])
    assert truth is not None
    assert truth.class_ids.tolist() == [1]


def test_labels_of_another_size_are_refused_and_sizes_of_zero_are_no_size(
    read: Callable[..., Annotations],
) -> None:
    known = read(document(item(), size=SIZE.replace("40", "30")))
    assert known.contents == ()
    assert [fault.reason for fault in known.faults()] == [
        "another size: JPEGImages/a.png has 40 x 20 px upright, the labels are of one of 30 x 20"
    ]
    assert read(document(item(), size=SIZE.replace("40", "0").replace("20", "0"))).contents


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation>", "not XML: no element found"),
        ("<a/>", "not VOC: its outermost element is 'a', not 'annotation'"),
        ("", "not XML: no element found"),
        (
            '<!DOCTYPE a [<!ENTITY b "bb">]><annotation>&b;</annotation>',
            "entities: the file declares a document type, which no label file needs",
        ),
        (
            '<!DOCTYPE a [<!ENTITY b SYSTEM "other.xml">]><annotation>&b;</annotation>',
            "entities: the file declares a document type, which no label file needs",
        ),
    ],
)
def test_a_file_that_is_not_vocs_is_a_fault_of_that_file(
    read: Callable[..., Annotations], text: str, reason: str
) -> None:
    known = read(text)
    (fault,) = known.faults()
    assert (fault.file, fault.line) == ("a.xml", None)
    assert fault.reason.startswith(reason)
    with pytest.raises(NotVoc, match=reason.split(":")[0]):
        parse(text)
