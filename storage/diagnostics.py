"""Diagnostics of features on disk: what each split knows, twins across splits, labels to doubt."""

from collections.abc import Mapping, Sequence
from typing import Any

from conf.diagnostics import DiagnosticsRecipe
from storage.kinds import Kind
from storage.parts import PartWriter
from storage.projection.maps import MapFiles, write_facts
from storage.steps import step

SPLITS, LEAKS, SUSPECTS = "splits.parquet", "leaks.parquet", "suspects.parquet"
_COLUMNS: dict[str, dict[str, str]] = {
    SPLITS: {
        "split": "string", "rows": "int64", "labelled": "int64", "majority": "float64",
        "knn_accuracy": "float64", "knn_standard_error": "float64", "knn_rows": "int64",
        "probe_accuracy": "float64", "probe_standard_error": "float64", "probe_rows": "int64",
        "why": "string",
    },
    LEAKS: {
        "row": "int64", "id": "string", "split": "string", "other": "int64", "other_id": "string",
        "other_split": "string", "cosine": "float64",
    },
    SUSPECTS: {
        "row": "int64", "id": "string", "label": "string", "suggested": "string",
        "label_probability": "float64", "suggested_probability": "float64", "agreeing": "float64",
    },
}  # fmt: skip


def write_diagnostics(writer: PartWriter, content: Mapping[str, Any], ids: Sequence[str]) -> None:
    """Write the diagnostics `content`, plain values, of rows that are called `ids`."""
    named = [{**one, "id": ids[one["row"]]} for one in content["suspects"]]
    pairs = [
        {**one, "id": ids[one["row"]], "other_id": ids[one["other"]]} for one in content["leaks"]
    ]
    _write_table(writer, SPLITS, [_split_line(one) for one in content["splits"]])
    _write_table(writer, LEAKS, pairs)
    _write_table(writer, SUSPECTS, named)
    write_facts(writer, content)


def _split_line(score: Mapping[str, Any]) -> dict[str, Any]:
    line = {name: score[name] for name in ("split", "rows", "labelled", "majority", "why")}
    for name, share in (("knn", score["neighbours"]), ("probe", score["probe"])):
        found = share or {}
        line |= {
            f"{name}_accuracy": found.get("value"),
            f"{name}_standard_error": found.get("standard_error"),
            f"{name}_rows": found.get("counted"),
        }
    return line


def _write_table(writer: PartWriter, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _COLUMNS[name]
    schema = pa.schema([(column, getattr(pa, kind)()) for column, kind in columns.items()])
    table = pa.table(
        {column: [line[column] for line in lines] for column in columns}, schema=schema
    )
    path = writer.folder / name
    with step("write", path):
        pq.write_table(table, path)


KINDS = (Kind(DiagnosticsRecipe.kind, open=MapFiles, part_rows=1),)
