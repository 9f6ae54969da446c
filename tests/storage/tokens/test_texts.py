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
