import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.sources.table import Source
from storage.readers.protocol import SourceMissing, SourceUnusable, Unreadable
from storage.readers.table import TableRows, open_source

ROWS: list[dict[str, Any]] = [
    {"path": "b.jpg", "label": "dog", "split": "train"},
    {"path": "sub/a.jpg", "label": "cat", "split": "test"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.jpg", "sub/a.jpg"):
        (folder / name).write_bytes(name.encode())
    return folder


def written(folder: Path, suffix: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"table{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    else:
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return path


def opened(path: Path, *roots: Path, **settings: Any) -> TableRows:
    return open_source(Source(path=path, **settings), roots)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_gives_paths_labels_and_splits_in_its_order(folder: Path, suffix: str) -> None:
    rows = opened(written(folder, suffix, ROWS))
    assert [(e.uri, e.split, e.label, e.label_name, e.problem) for e in rows.entries()] == [
        ("b.jpg", "train", 1, "dog", None),
        ("sub/a.jpg", "test", 0, "cat", None),
    ]
    assert rows.read("sub/a.jpg") == b"sub/a.jpg"
    assert rows.entries()[0].stamp == rows.stamp("b.jpg")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_numbers_are_labels_themselves(folder: Path, suffix: str) -> None:
    rows = [{"path": "b.jpg", "label": 7}, {"path": "b.jpg", "label": 3}]
    entries = opened(written(folder, suffix, rows)).entries()
    assert [(e.label, e.label_name, e.split) for e in entries] == [
        (7, None, "unspecified"),
        (3, None, "unspecified"),
    ]


def test_gaps_in_a_column_of_floats_are_missing_labels(folder: Path) -> None:
    rows = [{"path": "b.jpg", "label": 2.0}, {"path": "b.jpg", "label": float("nan")}]
    entries = opened(written(folder, ".parquet", rows)).entries()
    assert [e.label for e in entries] == [2, -1]


@pytest.mark.parametrize("label", [0.5, True])
def test_a_cell_that_is_no_label_is_refused(folder: Path, label: object) -> None:
    rows = opened(written(folder, ".jsonl", [{"path": "b.jpg", "label": label}]))
    with pytest.raises(SourceUnusable, match="the column 'label' of"):
        rows.entries()


def test_a_table_of_paths_alone_has_no_labels(folder: Path) -> None:
    (entry,) = opened(written(folder, ".csv", [{"path": "b.jpg"}])).entries()
    assert (entry.split, entry.label) == ("unspecified", -1)


def test_columns_may_have_other_names(folder: Path) -> None:
    path = written(folder, ".csv", [{"file": "b.jpg", "kind": "dog", "fold": "3"}])
    rows = opened(path, path_column="file", label_column="kind", split_column="fold")
    assert [(e.label_name, e.split) for e in rows.entries()] == [("dog", "3")]


def test_a_missing_column_names_the_nearest(folder: Path) -> None:
    path = written(folder, ".csv", [{"paths": "b.jpg"}])
    with pytest.raises(SourceUnusable) as caught:
        opened(path).entries()
    assert str(caught.value) == (
        f"{path} has no column 'path'. Did you mean 'paths'? "
        "Set path_column to the column that is meant."
    )


def test_a_misspelt_heading_does_not_lose_the_labels(folder: Path) -> None:
    path = written(folder, ".csv", [{"path": "b.jpg", "lable": "dog"}])
    with pytest.raises(SourceUnusable, match=r"no column 'label'. Did you mean 'lable'?"):
        opened(path).entries()
    assert opened(path, label_column=None).entries()[0].label == -1


def test_a_column_that_was_asked_for_must_be_there(folder: Path) -> None:
    path = written(folder, ".csv", [{"path": "b.jpg"}])
    with pytest.raises(SourceUnusable, match="has no column 'species'"):
        opened(path, label_column="species").entries()


def test_a_file_that_is_gone_is_a_row_with_a_problem(folder: Path) -> None:
    rows = opened(written(folder, ".csv", [{"path": "b.jpg"}, {"path": "no.jpg"}, {"path": "sub"}]))
    assert [e.problem for e in rows.entries()] == [
        None,
        "gone: there is no such file",
        "not a file: a directory",
    ]


def test_an_empty_path_is_a_row_with_a_problem(folder: Path) -> None:
    (entry,) = opened(written(folder, ".jsonl", [{"path": None}])).entries()
    assert (entry.uri, entry.problem) == ("", "no path: the table's cell is empty or not text")


def test_a_path_out_of_the_folder_is_a_row_with_a_problem(folder: Path) -> None:
    (folder.parent / "x.jpg").touch()
    rows = opened(written(folder, ".csv", [{"path": "../x.jpg"}]))
    assert str(rows.entries()[0].problem).startswith("outside the roots: ")
    with pytest.raises(Unreadable, match="outside the roots"):
        rows.read("../x.jpg")


def test_a_path_into_a_configured_root_is_read(folder: Path) -> None:
    (folder.parent / "x.jpg").write_bytes(b"x")
    rows = opened(written(folder, ".csv", [{"path": "../x.jpg"}]), folder.parent)
    assert rows.entries()[0].problem is None
    assert rows.read("../x.jpg") == b"x"


def test_an_absolute_path_is_named_relative_to_the_table(folder: Path) -> None:
    rows = opened(written(folder, ".csv", [{"path": str(folder / "sub/a.jpg")}]))
    assert rows.entries()[0].uri == "sub/a.jpg"


def test_the_limit_takes_the_first_rows(folder: Path) -> None:
    assert len(opened(written(folder, ".csv", ROWS), limit=1).entries()) == 1


def test_a_table_with_byte_order_mark_and_quotes_is_read(folder: Path) -> None:
    (folder / "t.csv").write_bytes(b'\xef\xbb\xbfpath,label\r\n"b.jpg","a, b"\r\n\r\n')
    (entry,) = opened(folder / "t.csv").entries()
    assert (entry.uri, entry.label_name) == ("b.jpg", "a, b")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", "path,label\nb.jpg\n", "row 1 has 1 cells, the heading has 2"),
        ("t.csv", "path,path\nb.jpg,c.jpg\n", "has the column 'path' twice"),
        ("t.csv", 'path\n"b.jpg\n', "is not a CSV file in UTF-8"),
        ("t.csv", "", "has no column 'path'"),
        ("t.jsonl", '{"path": "b.jpg"}\n{"path"\n', "line 2, is not JSON"),
        ("t.jsonl", "[1]\n", "line 1, is not a JSON object"),
        ("t.parquet", "PAR1", "is not a Parquet file"),
        ("t.xlsx", "", "its suffix is '.xlsx', known are .csv, .jsonl, .ndjson, .parquet"),
    ],
)
def test_a_broken_table_says_where(folder: Path, name: str, content: str, says: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(SourceUnusable, match=says):
        opened(folder / name).entries()


def test_a_missing_table_is_one_clear_error(folder: Path) -> None:
    with pytest.raises(SourceMissing, match=r"the table .*table.csv does not exist"):
        opened(folder / "table.csv")


def test_a_name_with_a_nul_is_a_row_with_a_problem(folder: Path) -> None:
    (entry,) = opened(written(folder, ".jsonl", [{"path": "a\0.jpg"}])).entries()
    assert (entry.uri, entry.problem) == (
        "a%00.jpg",
        "not a path: the name cannot be that of a file",
    )
    assert os.sep not in entry.uri


@pytest.mark.parametrize(
    ("cell", "uri"),
    [("a\0b/c.jpg", "a%00b/c.jpg"), ("\ud800.jpg", "%ED%A0%80.jpg"), ("/\ud800/c.jpg", None)],
)
def test_a_cell_that_no_file_can_bear_is_a_row_with_a_problem(
    folder: Path, cell: str, uri: str | None
) -> None:
    (entry,) = opened(written(folder, ".jsonl", [{"path": cell}])).entries()
    assert entry.problem == "not a path: the name cannot be that of a file"
    assert entry.uri.encode().decode() == entry.uri
    assert uri in (None, entry.uri)
    with pytest.raises(Unreadable, match=r"^not a path: "):
        opened(folder / "table.jsonl").stamp("a%00b/c.jpg")


@pytest.mark.parametrize("column", ["label", "split"])
def test_half_a_character_in_a_label_or_a_split_is_refused(folder: Path, column: str) -> None:
    path = written(folder, ".jsonl", [{"path": "b.jpg", column: "\ud800"}])
    with pytest.raises(SourceUnusable) as caught:
        opened(path).entries()
    assert str(caught.value) == (
        f"the column {column!r} of {path}: '\\ud800' holds half a character (a lone surrogate); "
        "write it whole."
    )


def test_a_parquet_file_whose_text_is_not_utf8_is_refused(folder: Path) -> None:
    raw = pa.array([b"\xff.jpg"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 1, raw.buffers())
    pq.write_table(pa.table({"path": text}), folder / "t.parquet")
    with pytest.raises(SourceUnusable, match="is not a Parquet file"):
        opened(folder / "t.parquet").entries()
