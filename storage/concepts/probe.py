"""A linear classifier of labels by concept scores: its weights, and how right it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py

from storage.concepts.file import TEXT, Array, texts_of
from storage.hdf5 import new_file
from storage.parts import PartWriter
from storage.store import Artifact, ArtifactStore

PROBE = "probe.h5"


@dataclass(frozen=True, eq=False)
class Probe:
    """Logits of class c: weights[c] . (score - center) / spread + intercept[c]."""

    concepts: tuple[str, ...]
    classes: Array
    """(C,) int64: the label of each class."""
    class_names: tuple[str, ...]
    weights: Array
    """(C, concepts) float64."""
    intercept: Array
    """(C,) float64."""
    center: Array
    """(concepts,) float64: mean score of the training split."""
    spread: Array
    """(concepts,) float64: standard deviation of it."""
    accuracy: Mapping[str, float]
    """Share named rightly, by split; the training split's is of what was learnt from."""
    rows: Mapping[str, int]
    """Labelled images of each split."""
    chance: float
    """The share of the commonest label in the training split."""
    cross_validation: Mapping[str, float]
    """Mean accuracy over the folds, by penalty."""
    penalty: float
    """The inverse strength that was chosen."""


_ARRAYS = ("classes", "weights", "intercept", "center", "spread")
_FACTS = ("accuracy", "rows", "chance", "cross_validation", "penalty")


def write_probe(writer: PartWriter, probe: Probe) -> None:
    """Write the one file of a probe."""
    path = writer.folder / PROBE
    with new_file(path) as file:
        for name in _ARRAYS:
            file[name] = getattr(probe, name)
        for name in ("concepts", "class_names"):
            file.create_dataset(name, data=list(getattr(probe, name)), dtype=TEXT)
        facts = {name: getattr(probe, name) for name in _FACTS}
        file.attrs["facts"] = json.dumps(facts, default=dict)


def open_probe(store: ArtifactStore, artifact: Artifact) -> Probe:
    """Return the probe of `artifact`."""
    (path,) = store.path_of(artifact).glob(f"parts/*/{PROBE}")
    with h5py.File(path, "r") as file:
        fields: dict[str, Any] = json.loads(file.attrs["facts"])
        fields |= {name: file[name][:] for name in _ARRAYS}
        fields |= {name: tuple(texts_of(file[name])) for name in ("concepts", "class_names")}
    return Probe(**fields)
