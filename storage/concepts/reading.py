"""Reading a concept store: a summary, samples, batches. What is read is what is returned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import h5py
import numpy as np

from conf.errors import RecipeError, did_you_mean
from storage.concepts.file import (
    IDS,
    LABELS,
    POOLED,
    SPLIT,
    TEMPLATES,
    TEXT_TOKENS,
    TOKENS,
    Array,
    PathOrFile,
    attributes,
    reading,
    texts_of,
)
from storage.concepts.rows import RowReader

BatchType = Literal["cls", "tokens", "both"]
_SPLIT_ROWS = 4096  # splits of so many rows are held at once
_TYPES = ("cls", "tokens", "both")


@dataclass(frozen=True, eq=False)
class Samples:
    """Rows of a concept store."""

    positions: Array
    """int64: which rows."""
    ids: Array
    labels: Array
    """int64, -1 where there is none."""
    splits: tuple[str, ...]
    features: Array | None
    """(n, D) float16, unless only tokens were asked for."""
    tokens: Array | None
    """(n, T_img, D) float16, where they were asked for."""

    def __len__(self) -> int:
        return len(self.ids)


def summarize_h5(store: PathOrFile, *, show: bool = True) -> dict[str, Any]:
    """Print and return what a concept store holds: shapes, attributes, templates; no feature is
    read."""
    with reading(store) as file:
        summary = {
            "path": str(file.filename),
            "datasets": {
                name: {"shape": list(node.shape), "dtype": _dtype_name(node)}
                for name, node in file.items()
                if isinstance(node, h5py.Dataset)
            },
            "attributes": attributes(file),
            "templates": {name: _template(group) for name, group in file[TEMPLATES].items()},
        }
    if show:
        print(summary_text(summary))
    return summary


def _dtype_name(node: h5py.Dataset) -> str:
    return "string" if h5py.check_string_dtype(node.dtype) else str(node.dtype)


def _template(group: h5py.Group) -> dict[str, Any]:
    return {**attributes(group), "has_tokens": TEXT_TOKENS in group}


def summary_text(summary: dict[str, Any]) -> str:
    """Return a summary in lines for people."""
    lines = [summary["path"]]
    for name, facts in summary["datasets"].items():
        shape = " x ".join(map(str, facts["shape"]))
        lines.append(f"  {name:<22} {shape:<18} {facts['dtype']}")
    lines += [f"  @{name} = {_short(value)}" for name, value in summary["attributes"].items()]
    for name, facts in summary["templates"].items():
        tokens = f", {facts['T_txt']} tokens each" if facts["has_tokens"] else ""
        lines.append(f"  {TEMPLATES}/{name}: {facts.get('K')} texts{tokens}")
    return "\n".join(lines)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}... ({len(value)} in all)"


def get_template_names(store: PathOrFile, prefix: str = "") -> list[str]:
    """Return the ids of the templates that begin with `prefix`, such as "concept_prompts"."""
    with reading(store) as file:
        return sorted(name for name in file[TEMPLATES] if name.startswith(prefix))


def access_sample_by_index(
    store: PathOrFile, index: int, *, tokens: bool | None = None
) -> dict[str, Any]:
    """Return one image by its row: id, label, split, `image_features` (D,) and, where the store
    has them and `tokens` is not False, `image_token_features` (T_img, D).

    Raises RecipeError for a row that is not there, or tokens that are not.
    """
    with reading(store) as file:
        wants_tokens = TOKENS in file if tokens is None else tokens
        rows = _samples(file, _row(file, index), "both" if wants_tokens else "cls")
    assert rows.features is not None
    sample = {
        "index": int(rows.positions[0]),
        "id": int(rows.ids[0]),
        "label": int(rows.labels[0]),
        "split": rows.splits[0],
        POOLED: rows.features[0],
    }
    return sample if rows.tokens is None else sample | {TOKENS: rows.tokens[0]}


def _row(file: h5py.File, index: int) -> Array:
    count = len(file[IDS])
    if not -count <= index < count:
        raise RecipeError(
            f"Row {index} was asked for; {file.filename} has {count} rows, from 0 to {count - 1}."
        )
    return np.array([index % count], np.int64)


def access_batch(
    store: PathOrFile,
    split: str | None,
    idx: int | slice | Sequence[int] | Array,
    type: BatchType = "cls",
) -> Samples:
    """Return images of a split by their place in it: idx 0 is the first of that split.

    `split` None counts through all splits. `type` is "cls" (pooled features), "tokens" or "both".
    Raises RecipeError for a split or a place that is not there.
    """
    with reading(store) as file:
        if type not in _TYPES:
            raise RecipeError(f"type = {type!r} is none of cls, tokens, both.")
        rows = _rows_of(file, split)
        where = "the store" if split is None else f"split {split!r}"
        return _samples(file, _chosen(rows, idx, where), type)


def _rows_of(file: h5py.File, split: str | None) -> Array:
    if split is None:
        return np.arange(len(file[IDS]))
    names: set[str] = set()
    found: list[Array] = []
    for start in range(0, len(file[SPLIT]), _SPLIT_ROWS):
        splits = texts_of(file[SPLIT], slice(start, start + _SPLIT_ROWS))
        names.update(splits)
        found.append(start + np.flatnonzero([name == split for name in splits]))
    rows = np.concatenate([np.empty(0, np.int64), *found])
    if not len(rows):
        raise RecipeError(f"{file.filename} has no split {split!r}. {did_you_mean(split, names)}")
    return rows


def _chosen(rows: Array, idx: int | slice | Sequence[int] | Array, where: str) -> Array:
    places = idx if isinstance(idx, int | slice) else np.asarray(idx)
    if isinstance(places, np.ndarray) and places.dtype.kind not in "iub":
        if places.size:
            raise RecipeError(f"Places {idx!r} were asked for; they are whole numbers, or a mask.")
        places = places.astype(np.int64)
    try:
        return np.atleast_1d(rows[places])
    except (IndexError, ValueError) as problem:
        raise RecipeError(
            f"Place {idx!r} was asked for; {where} has {len(rows)} images, from 0 on ({problem})."
        ) from None


def _samples(file: h5py.File, rows: Array, wanted: BatchType) -> Samples:
    if wanted != "cls" and TOKENS not in file:
        raise RecipeError(
            f"{file.filename} has no patch tokens: they were not kept, or the model gives none. "
            'Ask for type "cls", or make the store with tokens = true.'
        )
    ids, labels = (RowReader(file[name]).read(rows) for name in (IDS, LABELS))
    return Samples(
        rows,
        ids,
        labels,
        tuple(_texts_at(file[SPLIT], rows)),
        RowReader(file[POOLED]).read(rows) if wanted != "tokens" else None,
        RowReader(file[TOKENS]).read(rows) if wanted != "cls" else None,
    )


def _texts_at(dataset: h5py.Dataset, rows: Array) -> list[str]:
    if not len(rows):
        return []
    blocks = rows // _SPLIT_ROWS
    known: dict[int, str] = {}
    for block in np.unique(blocks).tolist():
        texts = texts_of(dataset, slice(block * _SPLIT_ROWS, (block + 1) * _SPLIT_ROWS))
        known |= {row: texts[row % _SPLIT_ROWS] for row in rows[blocks == block].tolist()}
    return [known[row] for row in rows.tolist()]
