"""What a batch leaves outside the store: its JPEGs, its table, its page."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from storage.atomic import is_temporary, link_or_copy, temporary_beside
from storage.photos.batches import write_if_other
from storage.readers.files import uri_of

IMAGES = "rankingInput"
_HOUR_SECONDS = 3600
_INT64, _FLOAT64 = 1 << 63, 1 << 1023  # numbers below fit


def export_file(source: Path, target: Path) -> None:
    """Give the file `source` of the store the name `target`, in one step; nothing is done twice."""
    if target.exists() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    link_or_copy(source, temporary)
    os.replace(temporary, target)  # no fsync: the store has the file, this is another name of it
    temporary.unlink(missing_ok=True)


def sweep_exports(folder: Path) -> None:
    """Remove what runs that were killed an hour ago or earlier left half-written in `folder`."""
    before = time.time() - _HOUR_SECONDS
    for place in (folder, folder / IMAGES):
        for path in place.glob(".*.tmp"):
            with suppress(FileNotFoundError):
                if is_temporary(path) and path.stat().st_mtime < before:
                    path.unlink()


def relative_uri(path: str | Path, folder: Path) -> str:
    """Return the uri of `path` in a batch that lies in `folder`, such as "./rankingInput/a.jpg"."""
    uri = uri_of(os.path.relpath(path, folder))
    return uri if uri.startswith("../") else f"./{uri}"


def write_table(path: Path, photos: Sequence[Mapping[str, Any]]) -> bool:
    """Write one line a photo for analysis: every plain field, nested ones joined by dots; the best
    label, and all of them as lists."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_flat(photo) for photo in photos]
    names = sorted({name for row in rows for name in row})
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    out = BytesIO()
    pq.write_table(pa.table(columns), out)
    return write_if_other(path, out.getvalue())


def _flat(photo: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in photo.items():
        if isinstance(value, Mapping):
            row |= _flat(value, f"{prefix}{name}.")
        elif name == "clip_labels" and _are_objects(value):
            for what in ("label", "confidence", "cosine_score"):
                row[f"{prefix}{name}.{what}"] = [label.get(what) for label in value]
        elif isinstance(value, list | tuple):
            row[prefix + name] = list(value)
        else:
            row[prefix + name] = value
    return row


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, Mapping) for one in value)


def _column(values: list[Any]) -> Any:
    """Return one column: numbers as numbers, lists of them as lists; what does not fit is text."""
    import pyarrow as pa

    told = [value for value in values if value is not None]
    if told and all(isinstance(value, list) for value in told):
        kind = _kind([item for value in told for item in value if item is not None])
        rows = [None if value is None else [_as(kind, item) for item in value] for value in values]
        return pa.array(rows, pa.list_(kind))
    kind = _kind(told)
    return pa.array([_as(kind, value) for value in values], kind)


def _kind(values: list[Any]) -> Any:
    """Return the Arrow type that says all `values`."""
    import pyarrow as pa

    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int} and all(abs(value) < _INT64 for value in values):
        return pa.int64()
    is_number = kinds and kinds <= {int, float}
    fits = all(abs(value) < _FLOAT64 for value in values if isinstance(value, int))
    return pa.float64() if is_number and fits else pa.string()


def _as(kind: Any, value: Any) -> Any:
    import pyarrow as pa

    if value is None:
        return None
    if kind == pa.string():
        return str(value).encode("utf-8", "replace").decode()
    return float(value) if kind == pa.float64() else value
