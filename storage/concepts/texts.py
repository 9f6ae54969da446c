"""What local scores and heatmaps need of the text side, a file a template id: text tokens, where
the names stand in them, and how patch tokens get into the space of texts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import h5py

from storage.concepts.file import TEXT_SPANS, TEXT_TOKENS, Array
from storage.hdf5 import new_file
from storage.parts import PartWriter
from storage.store import Artifact, ArtifactStore

_SUFFIX = ".texts.h5"
TokenSpace = Literal["text", "projected", "none"]


@dataclass(frozen=True, eq=False)
class ConceptTexts:
    """The text side of one template."""

    template_id: str
    token_space: TokenSpace
    """ "text": patch tokens are in the space of texts; "projected": `projection` puts them there;
    "none": nothing does (a tower that pools by attention)."""
    fingerprint: str
    grid: str = "image"
    """Which part of the image the patches tile: "image" or "center"."""
    tokens: Array | None = None
    """(K, T_txt, D) float32."""
    spans: Array | None = None
    """(K, 2) int64: first token of the name and the one behind its last."""
    projection: Array | None = None
    """(D', D) float32."""
    logit_scale: float | None = None
    """The model's `concept_logit_scale`, where it has one."""
    logit_bias: float | None = None


def write_texts(writer: PartWriter, texts: ConceptTexts) -> None:
    """Write one template into a part."""
    path = writer.folder / f"{texts.template_id}{_SUFFIX}"
    arrays = {
        TEXT_TOKENS: texts.tokens,
        TEXT_SPANS: texts.spans,
        "token_projection": texts.projection,
    }
    logits = {
        "concept_logit_scale": texts.logit_scale,
        "concept_logit_bias": texts.logit_bias,
    }
    with new_file(path) as file:
        for name, array in arrays.items():
            if array is not None:
                file[name] = array
        file.attrs["token_space"] = texts.token_space
        file.attrs["token_grid"] = texts.grid
        file.attrs["model_fingerprint"] = texts.fingerprint
        file.attrs.update({name: value for name, value in logits.items() if value is not None})


def open_texts(store: ArtifactStore, artifact: Artifact) -> dict[str, ConceptTexts]:
    """Return the text side of every template, by template id."""
    return {texts.template_id: texts for texts in _read(store, artifact)}


def _read(store: ArtifactStore, artifact: Artifact) -> Iterator[ConceptTexts]:
    for path in sorted(store.path_of(artifact).glob(f"parts/*/*{_SUFFIX}")):
        with h5py.File(path, "r") as file:
            arrays = (
                file[name][:] if name in file else None
                for name in (TEXT_TOKENS, TEXT_SPANS, "token_projection")
            )
            said = dict(file.attrs)
            logits = (said.get(f"concept_logit_{name}") for name in ("scale", "bias"))
            yield ConceptTexts(
                path.name.removesuffix(_SUFFIX),
                said["token_space"],
                said["model_fingerprint"],
                said["token_grid"],
                *arrays,
                *(None if value is None else float(value) for value in logits),
            )
