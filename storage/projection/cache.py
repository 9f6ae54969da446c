"""The seed's cache folder: embeddings.pt, labels.pt, metadata.csv and meta.json, and what proves
that they are in one order."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conf.errors import did_you_mean
from storage.atomic import write_file, write_json
from storage.projection.errors import BadVectors, OrderDiffers
from storage.projection.names import (
    COLUMNS,
    FILE,
    LABEL,
    LABEL_2,
    RowNames,
    coloured_by,
    label_column,
    read_csv,
)

Array = np.ndarray[Any, Any]

EMBEDDINGS, LABELS, METADATA, META = "embeddings.pt", "labels.pt", "metadata.csv", "meta.json"
_MARK = 4
"""Hex digits of a file name's sha256 that meta.json keeps, to find the row that differs."""


def cache_folder(root: Path, model: str, dataset: str, split: str, seed: int) -> Path:
    """Return the seed's place for a cache: `{model}_{dataset}/{split}/seed{seed}` below `root`.

    What is neither letter, digit, "-" nor "." becomes "_": `hf-hub:timm/X` is `hf-hub_timm_X`.
    """
    names = [re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip(".") or "_" for name in (model, dataset)]
    part = re.sub(r"[^A-Za-z0-9_.-]+", "_", split).strip(".") or "_"
    return root / "_".join(names) / part / f"seed{seed}"


def write_metadata(
    folder: Path, files: Sequence[str], labels: Sequence[int], words: Sequence[str | None]
) -> None:
    """Write metadata.csv: a line a row, in the order of the embeddings; -1 where a label is
    missing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        (file, label, word or "", -1)
        for file, label, word in zip(files, labels, words, strict=True)
    )
    write_file(folder / METADATA, text.getvalue().encode("utf-8", "replace"))


def write_meta(folder: Path, files: Sequence[str], meta: Mapping[str, Any]) -> None:
    """Write meta.json: `meta`, and what proves the order of `files`."""
    proof = {"files_sha256": files_sha256(files), "file_marks": file_marks(files)}
    write_json(folder / META, {**meta, **proof})


def files_sha256(names: Sequence[str]) -> str:
    """Return the sha256 of the ordered file names: of their canonical JSON."""
    return hashlib.sha256(json.dumps(list(names), ensure_ascii=False).encode()).hexdigest()


def file_marks(names: Sequence[str]) -> str:
    """Return four hex digits a file name, joined: enough to find where an order departs."""
    return "".join(hashlib.sha256(name.encode()).hexdigest()[:_MARK] for name in names)


def cache_names(folder: Path, count: int, labels: Array | None, embeddings_sha256: str) -> RowNames:
    """Return the names in the metadata.csv of a cache folder of `count` vectors.

    Checked against labels.pt (`labels`), and against the order that our writer keeps in meta.json.
    Raises OrderDiffers with the first row that differs.
    """
    path = folder / "metadata.csv"
    rows, columns = _metadata(path)
    if rows != count:
        raise OrderDiffers(
            f"{path} has {rows} rows, embeddings.pt has {count}: they are not of one cache. Take "
            "the metadata.csv that was written with these embeddings."
        )
    if labels is not None:
        _check_labels(path, columns, labels)
    proof = _proof(folder, columns.get(FILE, []), embeddings_sha256)
    told = label_column(columns)
    texts, numbers = coloured_by(columns)
    if told:
        texts["label"] = told
    level = columns.get(LABEL_2, [])
    if any(value not in ("", "-1") for value in level):
        texts["label, level 2"] = [None if value in ("", "-1") else value for value in level]
    agreed = " Its labels agree with labels.pt, row by row." if labels is not None else ""
    notes = (
        ()
        if proof
        else (f"Nothing proves that metadata.csv is in the order of the embeddings.{agreed}",)
    )
    names = columns.get(FILE) or [f"row {number}" for number in range(count)]
    return RowNames(tuple(names), texts, numbers, order_proven=proof, notes=notes)


def _metadata(path: Path) -> tuple[int, dict[str, list[str]]]:
    if not path.is_file():
        raise BadVectors(
            f"There is no {path}: a cache folder has embeddings.pt and metadata.csv. Give vectors "
            "alone with --vectors."
        )
    rows, columns = read_csv(path)
    if FILE not in columns:
        raise BadVectors(f"{path} has no column {FILE!r}. {did_you_mean(FILE, columns)}")
    return rows, columns


def _check_labels(path: Path, columns: Mapping[str, Sequence[str]], labels: Array) -> None:
    written = columns.get(LABEL)
    if written is None:
        return
    if labels.shape != (len(written),):
        raise OrderDiffers(
            f"labels.pt holds {labels.shape} labels, {path.name} {len(written)} rows: they are not "
            "of one cache."
        )
    for row, (text, label) in enumerate(zip(written, labels.tolist(), strict=True)):
        if _number(text) != label:
            raise OrderDiffers(
                f"{path}: row {row} ({columns[FILE][row]!r}) has {LABEL} {text!r}, labels.pt has "
                f"{label} there. It is the first row that differs: metadata.csv is in another "
                "order than the embeddings. Take the one that was written with them."
            )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return -1.0 if text == "" else None


def _proof(folder: Path, names: Sequence[str], embeddings_sha256: str) -> bool:
    """Return whether meta.json proves the order; raises OrderDiffers when it proves another."""
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
    except FileNotFoundError:
        return False
    except ValueError as problem:
        raise BadVectors(f"{folder / 'meta.json'} is not JSON: {problem}.") from problem
    if not isinstance(meta, dict) or "files_sha256" not in meta:
        return False
    if meta["files_sha256"] != files_sha256(names):
        raise OrderDiffers(_departure(folder, names, str(meta.get("file_marks", ""))))
    if meta.get("embeddings_sha256") != embeddings_sha256:
        told = str(meta.get("embeddings_sha256"))
        raise OrderDiffers(
            f"{folder / EMBEDDINGS} is not the file that meta.json tells of: its sha256 is "
            f"{embeddings_sha256[:16]}..., and it was {told[:16]}.... "
            "Write the cache again, or remove meta.json to have it taken as unproven."
        )
    return True


def _departure(folder: Path, names: Sequence[str], marks: str) -> str:
    known = [marks[at : at + _MARK] for at in range(0, len(marks), _MARK)]
    place = folder / "metadata.csv"
    if len(known) != len(names):
        told = f"{place} has {len(names)} rows, meta.json tells of {len(known)}"
        return f"{told}: it is another cache's."
    found = file_marks(names)
    for row, (name, mark) in enumerate(zip(names, known, strict=True)):
        if found[row * _MARK : (row + 1) * _MARK] != mark:
            there = [
                names[at]
                for at in range(len(names))
                if found[at * _MARK : (at + 1) * _MARK] == mark
            ]
            whose = f" {there[0]!r} belongs there." if len(there) == 1 else ""
            return (
                f"{place}: row {row} is {name!r}, and the embeddings were written in another "
                f"order.{whose} It is the first row that differs. Restore the metadata.csv that "
                "was written with the embeddings."
            )
    return f"{place}: its file names are not those that the embeddings were written with."
