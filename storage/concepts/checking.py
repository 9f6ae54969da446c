"""Checking a concept store against itself, and a table of metadata against it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from conf.errors import RecipeError
from storage.concepts.file import (
    IDS,
    LABELS,
    LOGITS,
    POOLED,
    ROW_DATASETS,
    SPLIT,
    TEMPLATES,
    TEXT_POOLED,
    TEXT_TOKENS,
    TEXTS,
    TOKENS,
    InvalidConceptStore,
    PathOrFile,
    attributes,
    reading,
    split_counts,
    texts_hash,
    texts_of,
)
from storage.concepts.reading import summarize_h5, summary_text
from storage.concepts.rows import RowReader

_TOKEN_BLOCK_ROWS = 8
_PREVIEW = 10
_NORM_TOLERANCE = 0.01


def validate_h5(store: PathOrFile, *, tokens: bool = False, show: bool = True) -> dict[str, Any]:
    """Print what a concept store holds, compare all of it, and return the summary.

    Compared are lengths, sizes against `D` and `T_img`, ids (each once, ascending), `split_counts`
    against the splits, features (finite, unit norm), every template's counts, norms and
    `texts_hash`; with `tokens`, every token. Raises InvalidConceptStore with all that is wrong.
    """
    with reading(store) as file:
        summary = summarize_h5(file, show=False)
        if show:
            print(summary_text(summary))
            print(_preview(file))
        faults = [*_rows(file), *_features(file, tokens), *_templates(file)]
        name = file.filename
    if faults:
        listed = "\n".join(f"- {fault}" for fault in faults)
        raise InvalidConceptStore(
            f"{name} contradicts itself:\n{listed}\nExport or make it again; of a file of your "
            "own, init_file cuts off rows that a killed run left."
        )
    if show:
        print("valid: every count, size, norm and hash agrees")
    return summary


def _preview(file: h5py.File) -> str:
    model = {name: value for name, value in attributes(file).items() if name in LOGITS}
    lines = [
        f"  first ids     {file[IDS][:_PREVIEW].tolist()}",
        f"  first labels  {file[LABELS][:_PREVIEW].tolist()}",
        f"  model         {model or 'no logit parameters'}",
    ]
    for name, group in islice(file[TEMPLATES].items(), 3):
        lines.append(f"  {name}  {texts_of(group[TEXTS], slice(0, 2))} ...")
    return "\n".join(lines)


def _rows(file: h5py.File) -> Iterator[str]:
    lengths = {name: len(file[name]) for name in (*ROW_DATASETS, TOKENS) if name in file}
    if len(set(lengths.values())) > 1:
        yield f"the lengths differ: {lengths}"
    said = attributes(file)
    sizes = {"D": file[POOLED].shape[1], "T_img": file[TOKENS].shape[1] if TOKENS in file else 0}
    for name, size in sizes.items():
        if said.get(name) != size:
            yield f"attribute {name} is {said.get(name)}, the datasets have {size}"
    if TOKENS in file and file[TOKENS].dtype != np.float16:
        yield f"{TOKENS} is {file[TOKENS].dtype}, not float16"
    ids = file[IDS][:]
    if (np.diff(ids) <= 0).any():
        yield f"ids do not ascend: row {int(np.flatnonzero(np.diff(ids) <= 0)[0]) + 1} is the first"
    counted = split_counts(texts_of(file[SPLIT]))
    if said.get("split_counts") != counted:
        yield f"split_counts says {said.get('split_counts')}, the splits are {counted}"


def _features(file: h5py.File, tokens: bool) -> Iterator[str]:
    strange = 0
    for _, block in RowReader(file[POOLED]).blocks():
        norms = np.linalg.norm(block.astype(np.float32), axis=1)
        strange += int((~(np.abs(norms - 1) <= _NORM_TOLERANCE)).sum())
    if strange:
        yield f"{strange} rows of {POOLED} are not of unit norm (zero, NaN, or another scale)"
    if not tokens or TOKENS not in file:
        return
    empty = sum(
        int((~np.isfinite(block).all(axis=(1, 2)) | ~block.any(axis=(1, 2))).sum())
        for _, block in RowReader(file[TOKENS]).blocks(_TOKEN_BLOCK_ROWS)
    )
    if empty:
        yield f"{empty} rows of {TOKENS} are zero or not finite"


def _templates(file: h5py.File) -> Iterator[str]:
    for name, group in file[TEMPLATES].items():
        missing = [part for part in (TEXT_POOLED, TEXTS) if part not in group]
        if missing:
            yield f"{name} lacks {', '.join(missing)}"
            continue
        yield from (f"{name}: {fault}" for fault in _template(group, file[POOLED].shape[1]))


def _template(group: h5py.Group, dim: int) -> Iterator[str]:
    features, texts = group[TEXT_POOLED][:], texts_of(group[TEXTS])
    tokens = group[TEXT_TOKENS].shape[1] if TEXT_TOKENS in group else -1
    said = attributes(group)
    wanted = {"K": len(texts), "D": dim, "T_txt": tokens, "texts_hash": texts_hash(texts)}
    yield from (
        f"{field} is {said.get(field)}, {value} is due"
        for field, value in wanted.items()
        if said.get(field) != value
    )
    if features.shape != (len(texts), dim):
        yield f"{TEXT_POOLED} is {features.shape}, {(len(texts), dim)} is due"
    elif not np.allclose(np.linalg.norm(features, axis=1), 1, atol=_NORM_TOLERANCE):
        yield f"{TEXT_POOLED} is not of unit norm"


_COLUMNS = {
    "id": IDS, "ids": IDS, "label": LABELS, "labels": LABELS, "split": SPLIT, "uri": "uri",
    "path": "uri", "sha256": "content_sha256", "content_sha256": "content_sha256",
}  # fmt: skip


def check_metadata(store: PathOrFile, table: Path | Mapping[str, Sequence[Any]]) -> int:
    """Return how many columns of a metadata table were compared with the store, row by row.

    `table` is a CSV or Parquet file, or columns. Raises RecipeError for a table that is shorter,
    longer, in another order, or has no column that could prove its order.
    """
    columns = _columns(table) if isinstance(table, Path) else table
    with reading(store) as file:
        known = {name: _COLUMNS[name] for name in columns if name in _COLUMNS}
        rows = len(file[IDS])
        # Columns of a run are shorter than the store to which a batch was appended.
        known = {n: one for n, one in known.items() if one in file and len(file[one]) == rows}
        proving = [name for name, stored in known.items() if stored not in (LABELS, SPLIT)]
        if not proving:
            raise RecipeError(
                f"The table has the columns {', '.join(map(str, columns)) or 'none'}; none of "
                "them says which image a row is. Give id, uri or sha256."
            )
        for name, stored in known.items():
            _compare(file, stored, name, columns[name])
    return len(known)


def _columns(path: Path) -> dict[str, Sequence[Any]]:
    import pandas as pd

    if not path.is_file():
        raise RecipeError(f"There is no table {path}.")
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    return {str(name): frame[name].tolist() for name in frame.columns}


def _compare(file: h5py.File, stored: str, name: str, given: Sequence[Any]) -> None:
    rows = len(file[IDS])
    if len(given) != rows:
        raise RecipeError(
            f"The table has {len(given)} rows, {file.filename} has {rows}: it is no table of this "
            "store. Nothing was joined."
        )
    truth = _values(file, stored)
    wrong = next((row for row in range(rows) if str(given[row]) != truth[row]), None)
    if wrong is not None:
        raise RecipeError(
            f"Row {wrong} of the table has {name} = {given[wrong]!r}, the store has "
            f"{truth[wrong]!r}: the table was sorted, shuffled or made of other images. Join by "
            f"{name} instead of by position. Nothing was joined."
        )


def _values(file: h5py.File, stored: str) -> list[str]:
    if stored == "content_sha256":
        return [bytes(row).hex() for row in file[stored][:]]
    dataset = file[stored]
    return texts_of(dataset) if stored in (SPLIT, "uri") else [str(v) for v in dataset[:]]
