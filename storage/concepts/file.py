"""The file `conceptclip_features.h5`: what it holds, how it is opened, and what it refuses."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np

from conf.errors import FeaturemillError, RecipeError

NAME = "conceptclip_features.h5"
POOLED, TOKENS = "image_features", "image_token_features"
IDS, LABELS, SPLIT, TEMPLATES = "ids", "labels", "split", "templates"
TEXT_POOLED, TEXT_TOKENS, TEXTS = "text_features", "text_token_features", "texts"
TEXT_SPANS = "token_spans"
ROW_DATASETS = (POOLED, IDS, LABELS, SPLIT)
"""Those that every store has, one row an image."""
TEXT = h5py.string_dtype("utf-8")
DEFAULT_SPLIT, NO_LABEL = "unspecified", -1
LOGITS = ("logit_scale", "logit_bias", "concept_logit_scale", "concept_logit_bias")
_SPLIT_ORDER = ("train", "val", "test")

Array = np.ndarray[Any, Any]
PathOrFile: TypeAlias = "h5py.File | Path | str"


class NotAConceptStore(FeaturemillError):
    """The file is missing, is not HDF5, or lacks what every concept store has."""


class InvalidConceptStore(FeaturemillError):
    """A concept store contradicts itself."""


class WrittenByRun(RecipeError):
    """The file belongs to an artifact: it is what its key says, and is never changed."""


@contextmanager
def reading(store: PathOrFile) -> Iterator[h5py.File]:
    """Yield a concept store opened for reading; an open one is yielded as it is.

    Raises NotAConceptStore.
    """
    if isinstance(store, h5py.File):
        check_is_store(store)
        yield store
        return
    with _opened(Path(store), "r") as file:
        check_is_store(file)
        yield file


@contextmanager
def changing(store: PathOrFile) -> Iterator[h5py.File]:
    """Yield a concept store opened for writing; raises WrittenByRun for one inside an artifact
    store."""
    if isinstance(store, h5py.File):
        refuse_artifact(Path(store.filename))
        check_is_store(store)
        yield store
        return
    refuse_artifact(Path(store))
    with _opened(Path(store), "r+") as file:
        check_is_store(file)
        yield file


def refuse_artifact(path: Path) -> None:
    """Raise WrittenByRun when `path` lies inside an artifact store."""
    real = path.expanduser().resolve()
    home = next((folder for folder in real.parents if (folder / "store.json").is_file()), None)
    if home is None:
        return
    key = next((f"{part} " for part in real.parts if part.startswith("concept-store-v")), "KEY ")
    raise WrittenByRun(
        f"{path} belongs to the artifact store {home}, where nothing is ever changed. Write a copy "
        f"of your own with `featuremill export {key}--bundle PATH` and change that one, or change "
        "the preset and run it."
    )


def check_is_store(file: h5py.File) -> None:
    """Raise NotAConceptStore unless `file` has the datasets of a concept store, rows by row."""
    missing = [name for name in ROW_DATASETS if not isinstance(file.get(name), h5py.Dataset)]
    if not isinstance(file.get(TEMPLATES), h5py.Group):
        missing.append(f"{TEMPLATES}/")
    if missing:
        raise NotAConceptStore(
            f"{file.filename} is no concept store: it has no {', '.join(missing)}; it holds "
            f"{', '.join(sorted(file)) or 'nothing'}. init_file makes one, and repairs one that "
            "lost a dataset."
        )


def _opened(path: Path, mode: str) -> h5py.File:
    path = path.expanduser()
    try:
        return h5py.File(path, mode)
    except FileNotFoundError:
        raise NotAConceptStore(
            f"There is no file {path}. `featuremill ls concept-store` lists what runs have made; "
            "init_file makes a file of your own."
        ) from None
    except OSError as problem:
        raise NotAConceptStore(
            f"{path} cannot be opened as a concept store: {problem}. Name an HDF5 file with "
            f"{', '.join(ROW_DATASETS)} and {TEMPLATES}/, such as {NAME}."
        ) from problem


def attributes(file: h5py.File) -> dict[str, Any]:
    """Return the root attributes as Python values; those that hold JSON lists or tables, parsed."""
    return {name: _plain(value) for name, value in sorted(file.attrs.items())}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def json_list(file: h5py.File, name: str) -> list[str]:
    """Return the list that the JSON attribute `name` holds, empty when there is none."""
    found = _plain(file.attrs.get(name, "[]"))
    return [str(word) for word in found] if isinstance(found, list) else []


def now() -> str:
    """Return the time as the file writes it: YYYY-MM-DD HH:MM:SS, local."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


def split_counts(splits: Sequence[str]) -> dict[str, int]:
    """Return how many rows each split has: train, val, test first, then the others by name."""
    names, counts = np.unique(np.asarray(splits, dtype=object).astype(str), return_counts=True)
    found = dict(zip(names.tolist(), counts.tolist(), strict=True))
    first = [name for name in _SPLIT_ORDER if name in found]
    return {name: found[name] for name in (*first, *sorted(found.keys() - set(first)))}


def texts_hash(texts: Sequence[str]) -> str:
    """Return the sha256, in hex, over each text's UTF-8 bytes followed by NUL."""
    return hashlib.sha256(b"".join(text.encode() + b"\0" for text in texts)).hexdigest()


def texts_of(dataset: h5py.Dataset, rows: Any = slice(None)) -> list[str]:
    """Return rows of a dataset of texts."""
    return [str(text) for text in dataset.asstr()[rows]]
