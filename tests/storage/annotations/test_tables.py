"""Annotations are named by what they say, and come back as they were kept."""

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from storage.annotations.rle import Rle
from storage.annotations.tables import (
    TABLES,
    read_annotations,
    recipe_of,
    rows_sha256,
    write_annotations,
)
from storage.annotations.truth import Annotations, Fault, Truth
from storage.parts import PartWriter

PAGE = Path(__file__).parents[3] / "docs" / "formats" / "annotations.md"
MASK = Rle(size=[4, 5], counts=[3, 2, 15])
TRUTHS = {
    "b" * 64: Truth.of([((1, 2, 3.5, 4), 0, MASK), ((0, 0, 5, 4), 1, None)]),
    "a" * 64: Truth.of([]),
    "c" * 64: Truth.of([((0, 1, 2, 3), 1, MASK)]),
}
FAULTS = (
    Fault("b.txt", 3, "refused", "empty box: half a letter \\ud800"),
    Fault("a.txt", None, "clipped", "x"),
)


def known(**said: object) -> Annotations:
    given = {"names": ("x", "y"), "truths": TRUTHS, "faults": FAULTS, "superclasses": ("z", "z")}
    return Annotations(**(given | said))  # type: ignore[arg-type]


def test_annotations_come_back_whole(tmp_path: Path) -> None:
    write_annotations(PartWriter(tmp_path), known())
    back = read_annotations(tmp_path)
    assert (back.names, back.superclasses) == (("x", "y"), ("z", "z"))
    assert back.contents == tuple(sorted(TRUTHS))
    assert len(back) == 3
    assert set(back.faults()) == set(FAULTS)
    for sha256, truth in TRUTHS.items():
        found = back.of(sha256)
        assert found is not None
        assert found.boxes_px.dtype == np.float32
        assert found.class_ids.dtype == np.int64
        assert np.array_equal(found.boxes_px, truth.boxes_px)
        assert np.array_equal(found.class_ids, truth.class_ids)
        assert found.masks == truth.masks
    assert back.of("d" * 64) is None
    assert rows_sha256(back) == rows_sha256(known())


def test_annotations_of_nothing_come_back_too(tmp_path: Path) -> None:
    nothing = Annotations((), {})
    write_annotations(PartWriter(tmp_path), nothing)
    back = read_annotations(tmp_path)
    assert (back.names, back.superclasses, len(back), back.faults()) == ((), None, 0, ())
    assert recipe_of(nothing) == recipe_of(back)


@pytest.mark.parametrize(
    "other",
    [
        known(names=("x", "w")),
        known(superclasses=None),
        known(faults=FAULTS[:1]),
        known(truths=dict(list(TRUTHS.items())[:2])),
        known(truths=TRUTHS | {"a" * 64: Truth.of([((0, 0, 1, 1), 0, None)])}),
        known(truths=TRUTHS | {"c" * 64: Truth.of([((0, 1, 2, 3), 1, None)])}),
        known(truths=TRUTHS | {"c" * 64: Truth.of([((0, 1, 2, 3), 0, MASK)])}),
    ],
    ids=["names", "superclasses", "faults", "images", "objects", "masks", "classes"],
)
def test_what_annotations_say_is_in_their_key(other: Annotations) -> None:
    assert recipe_of(other).key() != recipe_of(known()).key()


def test_the_order_of_reading_is_not_in_their_key() -> None:
    other = known(truths=dict(reversed(TRUTHS.items())), faults=FAULTS[::-1])
    assert recipe_of(other) == recipe_of(known())


def test_their_key_stays_what_it_is() -> None:
    assert str(recipe_of(known()).key()) == "annotations-v1-845f9de396172aeb"


def test_the_page_names_every_table_and_column_with_its_type(tmp_path: Path) -> None:
    write_annotations(PartWriter(tmp_path), known())
    lines = PAGE.read_text().splitlines()
    spelt = {"float": "float32", "list<element: int32>": "list of int32"}
    missing = []
    for table in TABLES:
        schema = pq.read_schema(tmp_path / f"{table}.parquet")
        missing += [
            f"{table}.{name}: {kind}"
            for name, kind in zip(schema.names, map(str, schema.types), strict=True)
            if not any(f"`{name}`" in line and spelt.get(kind, kind) in line for line in lines)
        ]
        assert f"`{table}.parquet`" in "\n".join(lines)
    assert not missing


def test_the_example_of_the_page_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_annotations(PartWriter(tmp_path), known())
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    code = re.sub(r'"(\w+\.parquet)"', lambda found: repr(str(tmp_path / found[1])), example)
    exec(compile(code, str(PAGE), "exec"), {})
    assert "(4, 5) 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("boxes", "classes", "masks"), [((1, 4), 2, 2), ((2, 3), 2, 2), ((2, 4), 2, 1)]
)
def test_a_truth_whose_parts_do_not_fit_is_refused(
    boxes: tuple[int, int], classes: int, masks: int
) -> None:
    with pytest.raises(ValueError, match="do not fit each other"):
        Truth(np.zeros(boxes, np.float32), np.zeros(classes, np.int64), (None,) * masks)
