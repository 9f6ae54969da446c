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
        elif name == "clip_labels":
            for what in ("label", "confidence", "cosine_score"):
                row[f"{prefix}{name}.{what}"] = [label[what] for label in value]
        elif isinstance(value, list | tuple):
            row[prefix + name] = [str(item) for item in value]
        else:
            row[prefix + name] = value
    return row


def _column(values: list[Any]) -> Any:
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float, bool} and kinds - {bool}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if len(kinds) > 1 or dict in kinds:
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    return pa.array(values)
