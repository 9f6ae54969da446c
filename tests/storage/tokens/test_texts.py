"""Texts of a file: the same table from every format."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from storage.tokens.errors import BadActivations
from storage.tokens.texts import read_texts

ROWS: list[dict[str, Any]] = [
    {"review_ids": "a", "texts": "Qué rico", "stars": 5, "useful": 1, "user_ids": "u",
     "business_ids": "b"},
    {"review_ids": "b", "texts": "bad, \"very\"", "stars": 1, "useful": 0, "user_ids": "v",
     "business_ids": "b"},
]  # fmt: skip


def written(folder: Path, suffix: str, rows: list[dict[str, Any]]) -> Path:
    path, frame = folder / f"texts{suffix}", pd.DataFrame(rows)
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        arrays = {str(name): np.array(frame[name].tolist()) for name in frame}
        np.savez(path, allow_pickle=False, **arrays)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".npz"])
def test_every_format_gives_the_same_table(tmp_path: Path, suffix: str) -> None:
    table = read_texts(written(tmp_path, suffix, ROWS), {}, None)
    assert table.to_dict("records") == ROWS
    assert len(read_texts(written(tmp_path, suffix, ROWS), {}, 1)) == 1


def test_columns_of_other_names_are_said(tmp_path: Path) -> None:
    path = written(tmp_path, ".csv", [{"body": "good", "rating": 4}, {"body": None, "rating": 2}])
    table = read_texts(path, {"texts": "body", "stars": "rating"}, None)
    assert table["texts"].tolist() == ["good", ""]
    assert table["stars"].tolist() == [4, 2]
    assert table["review_ids"].tolist() == ["row-0", "row-1"]
    assert table["useful"].isna().all()


def test_a_wrong_column_names_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, ".csv", ROWS)
    with pytest.raises(BadActivations, match=r"no column 'text'\. Did you mean 'texts'"):
        read_texts(path, {"texts": "text"}, None)
    with pytest.raises(BadActivations, match=r"columns\.star is none of ours\. Did you mean"):
        read_texts(path, {"star": "stars"}, None)


def test_no_texts_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, ".csv", [{"stars": 1}])
    with pytest.raises(BadActivations, match=r"has no column 'texts'; it has stars\."):
        read_texts(path, {}, None)


def test_a_review_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadActivations, match="review 'a' is there more than once"):
        read_texts(written(tmp_path, ".csv", [ROWS[0], ROWS[0]]), {}, None)


def test_a_csv_keeps_ids_and_texts_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("review_ids,texts,user_ids,stars\n001,NA,0012,5\n002,null,,\n")
    table = read_texts(path, {}, None)
    assert table["review_ids"].tolist() == ["001", "002"]
    assert table["texts"].tolist() == ["NA", "null"]
    assert table["user_ids"].tolist() == ["0012", ""]
    assert table["stars"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", b""), ("a.csv", b"texts\n\xff\xfe\n"), ("a.csv", b"texts,stars\ngood,five\n"),
     ("a.jsonl", b'{"texts": \n'), ("a.parquet", b"nope")],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadActivations, match=rf"{name} cannot be read as \.{name[2:]}: "):
        read_texts(path, {}, None)


def test_rows_without_any_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadActivations, match="has no text in its 1 rows"):
        read_texts(written(tmp_path, ".jsonl", [{"texts": " "}]), {}, None)
