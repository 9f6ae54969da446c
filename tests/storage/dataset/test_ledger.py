import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from storage.dataset import LEDGER, Ledger, LedgerDamaged, LedgerRow, read_ledger, write_ledger

A, B, C = (letter * 64 for letter in "abc")
ROWS = [
    LedgerRow("b.jpg", B, "train", 1, "dog", "ok", None, 10, 4, 3),
    LedgerRow("a.jpg", A, "test", -1, None, "ok", None, 11, 4, 3),
    LedgerRow("b2.jpg", B, "train", 1, "dog", "ok", None, 10, 4, 3),
    LedgerRow("c.jpg", C, "train", 0, "cat", "failed", "truncated: 3 bytes", 12, None, None),
    LedgerRow("\u2603.jpg", None, "train", 0, "cat", "failed", "gone: no file", None, None, None),
]
LEDGER_OF_FIVE = Ledger.of(ROWS, skipped=("notes.txt",))


def test_the_key_of_a_dataset_is_pinned() -> None:
    assert (
        LEDGER_OF_FIVE.rows_sha256
        == "6a62308eccb9d6e51496fec721b2464c11bf7e9ce43dd07a096366073db18e5d"
    )
    assert str(LEDGER_OF_FIVE.recipe.key()) == "dataset-v1-c8444a084e6b7ba5"


def test_the_key_of_its_content_is_pinned() -> None:
    assert str(LEDGER_OF_FIVE.content) == "content-v1-2ba3056e95d23c0c"


@pytest.mark.parametrize("seed", ["0", "12345"])
def test_keys_are_equal_in_every_process(seed: str) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/storage/dataset'); "
        "from test_ledger import LEDGER_OF_FIVE as ledger; "
        "print(ledger.rows_sha256, ledger.content)"
    )
    environment = os.environ | {"PYTHONHASHSEED": seed}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [LEDGER_OF_FIVE.rows_sha256, str(LEDGER_OF_FIVE.content)]


@pytest.mark.parametrize(
    "change",
    [
        {"uri": "z.jpg"},
        {"sha256": C},
        {"split": "val"},
        {"label": 2},
        {"label_name": "cat"},
        {"status": "failed"},
        {"reason": "broken: another"},
    ],
)
def test_every_column_that_makes_the_dataset_changes_its_key(change: dict[str, object]) -> None:
    changed = Ledger.of([ROWS[0]._replace(**change), *ROWS[1:]])  # type: ignore[arg-type]
    assert changed.rows_sha256 != LEDGER_OF_FIVE.rows_sha256


def test_the_order_of_rows_changes_the_dataset_but_not_its_content() -> None:
    turned = Ledger.of(ROWS[::-1])
    assert turned.rows_sha256 != LEDGER_OF_FIVE.rows_sha256
    assert turned.content == LEDGER_OF_FIVE.content


def test_names_labels_splits_and_duplicates_leave_the_content_alone() -> None:
    other = Ledger.of([ROWS[1]._replace(uri="x", label=9, split="val"), ROWS[0]])
    assert other.content == LEDGER_OF_FIVE.content


def test_one_content_more_is_another_content() -> None:
    assert Ledger.of([*ROWS, ROWS[0]._replace(sha256=C)]).content != LEDGER_OF_FIVE.content


def test_contents_are_those_of_ok_rows_each_once_in_order() -> None:
    assert LEDGER_OF_FIVE.contents == (B, A)


def test_what_was_skipped_is_told_but_plays_no_part() -> None:
    assert LEDGER_OF_FIVE.skipped == ("notes.txt",)
    assert Ledger.of(ROWS) == LEDGER_OF_FIVE


def test_failures_are_counted_by_their_first_words() -> None:
    assert LEDGER_OF_FIVE.summary() == {"ok": 3, "truncated": 1, "gone": 1}


def test_rows_come_back_one_by_one_and_all() -> None:
    assert list(LEDGER_OF_FIVE.rows()) == ROWS
    assert LEDGER_OF_FIVE.row(3) == ROWS[3]
    assert len(LEDGER_OF_FIVE) == 5


def test_a_ledger_survives_parquet(tmp_path: Path) -> None:
    write_ledger(LEDGER_OF_FIVE, tmp_path)
    back = read_ledger(tmp_path)
    assert back == LEDGER_OF_FIVE
    assert back.rows_sha256 == LEDGER_OF_FIVE.rows_sha256


def test_a_ledger_is_found_in_the_one_part_of_an_artifact(tmp_path: Path) -> None:
    part = tmp_path / "parts" / "dataset-v1-0.00000"
    part.mkdir(parents=True)
    write_ledger(LEDGER_OF_FIVE, part)
    assert read_ledger(tmp_path) == LEDGER_OF_FIVE


def test_an_empty_ledger_survives_parquet(tmp_path: Path) -> None:
    write_ledger(Ledger.of([]), tmp_path)
    assert read_ledger(tmp_path) == Ledger.of([])
    assert Ledger.of([]).summary() == {"ok": 0}


def test_the_columns_are_the_documented_ones(tmp_path: Path) -> None:
    schema = pq.read_schema(write_ledger(LEDGER_OF_FIVE, tmp_path))
    assert [(column.name, str(column.type), column.nullable) for column in schema] == [
        ("row_id", "int64", False),
        ("uri", "string", False),
        ("sha256", "string", True),
        ("split", "string", False),
        ("label", "int64", False),
        ("label_name", "string", True),
        ("status", "string", False),
        ("reason", "string", True),
        ("size_bytes", "int64", True),
        ("width_px", "int64", True),
        ("height_px", "int64", True),
    ]


def test_the_same_ledger_is_the_same_file(tmp_path: Path) -> None:
    first = write_ledger(LEDGER_OF_FIVE, tmp_path).read_bytes()
    again = replace(LEDGER_OF_FIVE, skipped=("more.txt",))
    assert write_ledger(again, tmp_path).read_bytes() == first


def test_a_frame_has_every_column_and_the_row_ids() -> None:
    frame = LEDGER_OF_FIVE.frame()
    assert frame.columns[0] == "row_id"
    assert frame["label"].tolist() == [1, -1, 1, 0, 0]
    assert frame[frame["status"] == "ok"]["sha256"].tolist() == [B, A, B]


def test_a_missing_ledger_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerDamaged, match=r"holds no ledger.parquet. Run the flow again"):
        read_ledger(tmp_path)


@pytest.mark.parametrize("keep", [0, 100])
def test_a_cut_ledger_is_one_clear_error(tmp_path: Path, keep: int) -> None:
    path = write_ledger(LEDGER_OF_FIVE, tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(LedgerDamaged, match=r"is not a ledger: .*`featuremill verify`"):
        read_ledger(tmp_path)


def test_another_parquet_file_is_no_ledger(tmp_path: Path) -> None:
    import pyarrow as pa

    pq.write_table(pa.table({"x": [1]}), tmp_path / LEDGER)
    with pytest.raises(LedgerDamaged, match="is not a ledger"):
        read_ledger(tmp_path)
