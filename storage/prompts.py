"""Prompt features on disk: parts of words, each a `prompts.h5` with `text_features` (K, D) float32,
`texts`, `vocabulary`, `templates`, and what it takes to score with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from conf.prompts import PromptRecipe
from storage.comparing import moved_vectors
from storage.hdf5 import new_file
from storage.kinds import Kind
from storage.parts import PartWriter
from storage.store import Artifact, ArtifactStore

PROMPTS = "prompts.h5"
_TEXT = h5py.string_dtype("utf-8")


@dataclass(frozen=True)
class Scoring:
    """How cosines of a model become scores: scale, bias (None: none) and activation."""

    logit_scale: float
    logit_bias: float | None
    activation: Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class Prompts:
    """A prompt set, or the words of one part of it, with its features."""

    vocabulary: tuple[str, ...]
    templates: tuple[str, ...]
    texts: tuple[str, ...]
    text_features: np.ndarray[Any, Any]
    """(K, D) float32, unit norm, one row a word of the vocabulary."""
    texts_hash: str
    """The sha256 of all texts of the prompt set, each followed by NUL."""
    scoring: Scoring


def write_prompts(writer: PartWriter, prompts: Prompts, fingerprint: str) -> None:
    """Write `prompts` as the one file of a part."""
    with new_file(writer.folder / PROMPTS) as file:
        file.create_dataset("text_features", data=prompts.text_features)
        for name, words in _words(prompts).items():
            file.create_dataset(name, data=list(words), dtype=_TEXT)
        file.attrs.update(_attributes(prompts) | {"model_fingerprint": fingerprint})


def _words(prompts: Prompts) -> dict[str, Sequence[str]]:
    return {
        "texts": prompts.texts,
        "vocabulary": prompts.vocabulary,
        "templates": prompts.templates,
    }


def _attributes(prompts: Prompts) -> dict[str, Any]:
    count, dim = prompts.text_features.shape
    bias = prompts.scoring.logit_bias
    return {
        "K": count,
        "D": dim,
        "T_txt": -1,
        "texts_hash": prompts.texts_hash,
        "logit_scale": prompts.scoring.logit_scale,
        "activation": prompts.scoring.activation,
        **({} if bias is None else {"logit_bias": bias}),
    }


def open_prompts(store: ArtifactStore, artifact: Artifact) -> Prompts:
    """Return the prompt set of `artifact` with its features, in the order of its vocabulary."""
    folder = store.path_of(artifact) / "parts"
    parts = [_read(folder / marker.part / PROMPTS) for marker in store.markers(artifact)]
    words = [word for part in parts for word in part.vocabulary]
    place = {word: row for row, word in enumerate(words)}
    vocabulary = store.manifest(artifact.key).recipe["prompts"]["vocabulary"]
    order = [place[word] for word in vocabulary]  # a part that was remade lies elsewhere
    texts = np.array([text for part in parts for text in part.texts], dtype=object)
    return replace(
        parts[0],
        vocabulary=tuple(vocabulary),
        texts=tuple(texts.reshape(len(words), -1)[order].ravel()),
        text_features=np.concatenate([part.text_features for part in parts])[order],
    )


def _read(path: Path) -> Prompts:
    with h5py.File(path, "r") as file:
        bias = file.attrs.get("logit_bias")
        return Prompts(
            vocabulary=tuple(file["vocabulary"].asstr()[:]),
            templates=tuple(file["templates"].asstr()[:]),
            texts=tuple(file["texts"].asstr()[:]),
            text_features=file["text_features"][:],
            texts_hash=file.attrs["texts_hash"],
            scoring=Scoring(
                logit_scale=float(file.attrs["logit_scale"]),
                logit_bias=None if bias is None else float(bias),
                activation=file.attrs["activation"],
            ),
        )


def _compare(old: Prompts, new: Prompts) -> list[str]:
    return moved_vectors(old.vocabulary, old.text_features, new.vocabulary, new.text_features)


KINDS = (Kind(name=PromptRecipe.kind, open=open_prompts, part_rows=1024, compare=_compare),)
