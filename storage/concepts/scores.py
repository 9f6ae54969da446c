"""Concept and label scores of every image, with the contract that they were made by."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from storage.concepts.file import TEXT, Array, texts_of
from storage.errors import UnknownArtifact
from storage.hdf5 import new_file
from storage.parts import PartWriter
from storage.store import Artifact, ArtifactStore

if TYPE_CHECKING:
    import pandas as pd

SCORES = "scores.h5"
GROUPS = ("concept", "label")


def write_scores(
    writer: PartWriter,
    contents: Sequence[str],
    names: Mapping[str, Sequence[str]],
    arrays: Mapping[str, Array],
    contract: Mapping[str, Any],
) -> None:
    """Write the scores of `contents`: arrays (n, names of its group) float32 and the contract."""
    digests = np.frombuffer(bytes.fromhex("".join(contents)), np.uint8).reshape(-1, 32)
    path = writer.folder / SCORES
    with new_file(path) as file:
        file["content_sha256"] = digests
        for name, array in arrays.items():
            file[name] = np.asarray(array, np.float32)
        for group, words in names.items():
            file.create_dataset(f"{group}_names", data=list(words), dtype=TEXT)
        file.attrs["contract"] = json.dumps(contract, ensure_ascii=False)


class ConceptScores:
    """Read access to the scores of a concept store; rows are asked for by content sha256."""

    def __init__(self, store: ArtifactStore, artifact: Artifact) -> None:
        self.artifact = artifact
        self._paths = sorted(store.path_of(artifact).glob(f"parts/*/{SCORES}"))

    @cached_property
    def contract(self) -> dict[str, Any]:
        """Scale, bias, activation, templates, ensemble rule and token rule of the scores."""
        with h5py.File(self._paths[0], "r") as file:
            found: dict[str, Any] = json.loads(file.attrs["contract"])
            return found

    def names(self, group: str = "concept") -> tuple[str, ...]:
        """Return the vocabulary of a group, "concept" or "label": the columns of its scores."""
        with h5py.File(self._paths[0], "r") as file:
            if f"{group}_names" not in file:
                raise UnknownArtifact(
                    f"{self.artifact.key} has no {group} scores: the preset gave no {group}s."
                )
            return tuple(texts_of(file[f"{group}_names"]))

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """The content sha256 of each row, in the order of the parts."""
        return tuple(sha for path in self._paths for sha in _contents(path))

    def read(self, name: str = "concept_scores", contents: Sequence[str] | None = None) -> Array:
        """Return (n, names) float32 of `contents`, by default of all rows in their own order.

        Names are `concept_scores`, `concept_cosines`, the same for labels, and with a token rule
        `concept_local_logits` and `label_local_logits`.
        """
        rows = np.concatenate([_array(path, name, self.artifact.key) for path in self._paths])
        if contents is None:
            return rows
        place = {sha: row for row, sha in enumerate(self.contents)}
        missing = next((sha for sha in contents if sha not in place), None)
        if missing:
            raise UnknownArtifact(f"{self.artifact.key} has no scores of content {missing[:12]}...")
        return rows[[place[sha] for sha in contents]]

    def frame(self, group: str = "concept") -> "pd.DataFrame":
        """Return the scores of a group as a table, a row a content, a column a name."""
        import pandas as pd

        index = pd.Index(self.contents, name="content_sha256")
        return pd.DataFrame(self.read(f"{group}_scores"), index=index, columns=self.names(group))


def _contents(path: Path) -> list[str]:
    with h5py.File(path, "r") as file:
        return [bytes(row).hex() for row in file["content_sha256"][:]]


def _array(path: Path, name: str, key: str) -> Array:
    with h5py.File(path, "r") as file:
        if name not in file:
            raise UnknownArtifact(f"{key} has no {name}; it has {', '.join(sorted(file))}.")
        rows: Array = file[name][:]
        return rows
