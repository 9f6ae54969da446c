"""Writing a concept store of one's own, a plain HDF5 file: its making, and images in batches.

Every call leaves the file readable: rows first, then `split_counts`, flushed. A run that was killed
in between is repaired by `init_file`: rows that no count covers are cut off.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from conf.errors import RecipeError
from storage.concepts.file import (
    DEFAULT_SPLIT,
    IDS,
    LABELS,
    NAME,
    NO_LABEL,
    POOLED,
    ROW_DATASETS,
    SPLIT,
    TEMPLATES,
    TEXT,
    TOKENS,
    Array,
    NotAConceptStore,
    changing,
    now,
    refuse_artifact,
    split_counts,
    texts_of,
)
from storage.concepts.whole import (
    COUNTS,
    counts_of,
    lengths,
    refuse_fixed,
    refuse_lost_features,
    refuse_torn,
    split_of_lost,
    whole_rows,
)
from storage.hdf5 import POOLED_CHUNK_ROWS

VERSION = "1.0"
_OWN = (COUNTS, "model_fingerprint")
Metadata = Mapping[str, Any]


class OtherModel(RecipeError):
    """The store holds features of another model."""


def init_file(
    path: Path | str = NAME,
    *,
    D: int = 1152,
    T_img: int = 729,
    token_dim: int | None = None,
    metadata: Metadata | None = None,
    fingerprint: str | None = None,
) -> h5py.File:
    """Return the concept store at `path` open for writing; it is made where there is none.

    One that is there is reused: missing ids, labels and splits are made anew with their defaults,
    and rows that a killed run left half written are cut off. `T_img` 0 makes a store without patch
    tokens. `metadata` becomes root attributes, lists and tables as JSON. `token_dim` is the length
    of a patch token where it is not D. Raises RecipeError for other sizes, OtherModel for another
    `fingerprint` than the store's, NotAConceptStore for a file that is something else, and
    InvalidConceptStore, with nothing deleted, for one that lost its features or counted rows.
    """
    path = Path(path).expanduser()
    refuse_artifact(path)
    _refuse_arguments(D, T_img, metadata or {})
    is_new = not path.exists()
    try:
        file = h5py.File(path, "a")
    except OSError as problem:
        raise NotAConceptStore(
            f"{path} cannot be opened as a concept store: {problem}. Name another file, or remove "
            "this one to begin anew."
        ) from problem
    try:
        if not is_new:
            _refuse_others(file, D, T_img, fingerprint)
            refuse_lost_features(file, tokens=T_img > 0)
        split = DEFAULT_SPLIT if SPLIT in file else split_of_lost(file)
        _make_missing(file, D, T_img, token_dim or D, split)
        _repair(file)
        _describe(file, D, T_img, metadata or {}, fingerprint)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _refuse_arguments(dim: int, tokens: int, metadata: Metadata) -> None:
    if dim < 1 or tokens < 0:
        raise RecipeError(f"D = {dim} and T_img = {tokens}: D is 1 or more, T_img 0 or more.")
    if taken := [name for name in _OWN if name in metadata]:
        raise RecipeError(
            f"metadata names {', '.join(taken)}, which the store itself keeps: rows that no count "
            "covers are cut off. Leave it out."
        )


def _refuse_others(file: h5py.File, dim: int, tokens: int, fingerprint: str | None) -> None:
    if len(file) and not (set(file) & {*ROW_DATASETS, TEMPLATES}):
        raise NotAConceptStore(
            f"{file.filename} is no concept store: it holds {', '.join(sorted(file))}. Nothing was "
            "changed; name another file."
        )
    for name, axes in ((POOLED, 2), (TOKENS, 3), (IDS, 1), (LABELS, 1), (SPLIT, 1)):
        if name in file and getattr(file[name], "ndim", 0) != axes:
            raise NotAConceptStore(
                f"{name} of {file.filename} is no dataset of {axes} axes, as a concept store has "
                "it. Nothing was changed; name another file."
            )
    for name, wanted, axis in ((POOLED, dim, "D"), (TOKENS, tokens, "T_img")):
        found = int(file[name].shape[1]) if name in file else int(file.attrs.get(axis, wanted))
        if found != wanted:
            raise RecipeError(
                f"{file.filename} has {axis} = {found}, and {axis} = {wanted} was asked for. "
                "Features of different sizes do not mix: name another file, or ask for "
                f"{axis} = {found}."
            )
    check_model(file, fingerprint)


def check_model(file: h5py.File, fingerprint: str | None) -> None:
    """Raise OtherModel when the store's features are of a model with another fingerprint."""
    found = file.attrs.get("model_fingerprint")
    if fingerprint and found and fingerprint != found:
        raise OtherModel(
            f"{file.filename} holds features of the model with fingerprint {found[:16]}..., and "
            f"this model has {fingerprint[:16]}...: their features do not compare. Load the "
            "store's model, or write to another file. Nothing was changed."
        )


def _make_missing(file: h5py.File, dim: int, tokens: int, token_dim: int, split: str) -> None:
    if POOLED not in file:
        _make(file, POOLED, (0, dim), np.float16, (POOLED_CHUNK_ROWS, dim), np.nan)
    if tokens and TOKENS not in file:
        _make(file, TOKENS, (0, tokens, token_dim), np.float16, (1, tokens, token_dim), np.nan)
    rows = len(file[POOLED])
    if IDS not in file:
        _make(file, IDS, (rows,), np.int64, (POOLED_CHUNK_ROWS,), 0)
        file[IDS][:] = np.arange(rows)
    if LABELS not in file:
        _make(file, LABELS, (rows,), np.int64, (POOLED_CHUNK_ROWS,), NO_LABEL)
    if SPLIT not in file:
        _make(file, SPLIT, (rows,), TEXT, (POOLED_CHUNK_ROWS,), None)
        file[SPLIT][:] = [split] * rows
    file.require_group(TEMPLATES)


def _make(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any, chunks: Any, fill: Any
) -> None:
    file.create_dataset(
        name, shape, dtype, chunks=chunks, maxshape=(None, *shape[1:]), fillvalue=fill
    )


def _repair(file: h5py.File) -> None:
    """Cut off rows that no count covers."""
    rows, found = whole_rows(file), lengths(file)
    if set(found.values()) != {rows}:
        refuse_fixed(file)
    for name in found:
        if found[name] != rows:
            file[name].resize(rows, axis=0)
    file.attrs[COUNTS] = json.dumps(split_counts(texts_of(file[SPLIT])))


def _describe(
    file: h5py.File, dim: int, tokens: int, metadata: Metadata, fingerprint: str | None
) -> None:
    defaults = {"created_at": now(), "version": VERSION}
    given = {name: attribute(value) for name, value in metadata.items() if value is not None}
    for name, value in (defaults | given).items():
        if name in given or name not in file.attrs:
            file.attrs[name] = value
    file.attrs["D"], file.attrs["T_img"] = dim, tokens
    if fingerprint:
        file.attrs["model_fingerprint"] = fingerprint


def attribute(value: Any) -> Any:
    """Return `value` as an HDF5 attribute: lists and tables become JSON texts."""
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    return value


def append_batch(
    f: h5py.File,
    *,
    image_feats: Array,
    image_token_feats: Array | None,
    ids: Sequence[int] | Array | None = None,
    split_names: Sequence[str | None] | str | None = None,
    labels: Sequence[int] | Array | None = None,
) -> int:
    """Append a batch of images to the open store `f`, and return how many it holds now.

    `image_feats` is (n, D), `image_token_feats` (n, T_img, D), or None for a store without tokens;
    both are kept as float16. Missing ids go on counting, a missing split is "unspecified", a
    missing label -1. Raises RecipeError, and changes nothing, when counts or sizes differ.
    """
    with changing(f) as file:
        refuse_torn(file)
        start, before = len(file[IDS]), counts_of(file)
        batch = _batch(file, image_feats, image_token_feats, ids, split_names, labels, start)
        stop = start + len(batch[IDS])
        for name, rows in batch.items():
            file[name].resize(stop, axis=0)
            file[name][start:stop] = rows
        file.flush()
        _add_counts(file, before, batch[SPLIT])
        file.flush()
    return stop


def _add_counts(file: h5py.File, before: dict[str, int], splits: Sequence[str]) -> None:
    # Counting all splits anew for every batch would make long runs quadratic.
    for name, count in split_counts(splits).items():
        before[name] = before.get(name, 0) + count
    file.attrs[COUNTS] = json.dumps(before)


def _batch(
    file: h5py.File,
    pooled: Array,
    tokens: Array | None,
    ids: Sequence[int] | Array | None,
    splits: Sequence[str | None] | str | None,
    labels: Sequence[int] | Array | None,
    start: int,
) -> dict[str, Any]:
    count = len(pooled)
    if isinstance(splits, str):
        splits = [splits] * count
    batch: dict[str, Any] = {POOLED: _half(pooled, POOLED)}
    if tokens is not None:
        batch[TOKENS] = _half(tokens, TOKENS)
    following = int(file[IDS][-1]) + 1 if start else 0
    counted = range(following, following + count)
    batch[IDS] = np.asarray(counted if ids is None else ids, np.int64)
    batch[LABELS] = np.asarray([NO_LABEL] * count if labels is None else labels, np.int64)
    named = [None] * count if splits is None else splits
    batch[SPLIT] = [DEFAULT_SPLIT if name is None else str(name) for name in named]
    _refuse_sizes(file, batch, count)
    return batch


def _half(rows: Array, name: str) -> Array:
    with np.errstate(over="ignore"):
        half = np.asarray(rows).astype(np.float16)
    if not np.isfinite(half).all():
        raise RecipeError(
            f"{name} has values that float16 cannot hold (NaN, or beyond 65504). Encode the batch "
            "in another precision, such as fp32. Nothing was changed."
        )
    return half


def _refuse_sizes(file: h5py.File, batch: Mapping[str, Any], count: int) -> None:
    if (TOKENS in file) != (TOKENS in batch):
        has, got = ("has", "none were") if TOKENS in file else ("has no", "some were")
        raise RecipeError(
            f"{file.filename} {has} patch tokens, and {got} given. A store has them for every "
            "image or for none: init_file(T_img=0) makes one without. Nothing was changed."
        )
    for name, rows in batch.items():
        if len(rows) != count:
            raise RecipeError(
                f"{name} has {len(rows)} rows, {POOLED} has {count}: a batch has one of each an "
                "image. Nothing was changed."
            )
        shape = tuple(np.shape(rows)[1:])
        if shape != file[name].shape[1:]:
            raise RecipeError(
                f"{name} has rows of shape {shape}, the store's are {file[name].shape[1:]}: it was "
                "made for another model. Nothing was changed."
            )
