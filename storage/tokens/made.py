"""Activations made here: parts of reviews, and of all of them the seed's two files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from conf.keys import ArtifactKey
from storage.drafts import Draft
from storage.hdf5 import new_file
from storage.parts import PartWriter
from storage.store import Artifact, ArtifactStore
from storage.tokens.seedfiles import write_activations, write_metadata
from storage.tokens.texts import open_texts

Array = np.ndarray[Any, Any]

PART, ACTIVATIONS, METADATA = "part.h5", "activations.h5", "metadata.npz"


def write_part(writer: PartWriter, features: Array, values: Array, counts: Array) -> None:
    """Write the activations of a part's reviews: features and values (n, k), tokens of each
    review."""
    path = writer.folder / PART
    with new_file(path) as file:
        for name, rows in (("z_idx", features), ("z_val", values), ("counts", counts)):
            file.create_dataset(name, data=rows)


def finish(draft: Draft) -> None:
    """Write `activations.h5` and `metadata.npz` of all parts, in the order of the texts."""
    store = ArtifactStore(draft.path.parents[2], create=False)
    texts = store.find(ArtifactKey.parse(draft.plan["inputs"]["texts"]))
    if texts is None:
        raise store.unknown(draft.plan["inputs"]["texts"])
    table = open_texts(store, texts)
    ids = table["review_ids"].tolist()
    rows = {name: row for row, name in enumerate(ids)}
    n_tokens = sum(int(counts.sum()) for *_, counts in _parts(draft))
    write_activations(
        draft.path / ACTIVATIONS,
        (
            (features, values, np.repeat([rows[name] for name in names], counts))
            for names, features, values, counts in _parts(draft)
        ),
        ids,
        n_tokens=n_tokens,
        k=draft.plan["recipe"]["k"],
    )
    columns = {str(name): table[name].tolist() for name in table}
    write_metadata(draft.path / METADATA, columns)


def _parts(draft: Draft) -> Iterator[tuple[list[str], Array, Array, Array]]:
    for name, names in draft.part_rows.items():
        with h5py.File(draft.parts / name / PART, "r") as file:
            yield list(names), file["z_idx"][:], file["z_val"][:], file["counts"][:]


def files_of(store: ArtifactStore, artifact: Artifact) -> tuple[Path, Path]:
    """Return where the activation file and the metadata file of an artifact lie; raises
    UnknownArtifact when it is not made yet."""
    folder = store.path_of(artifact)
    if not folder.is_dir():
        raise store.unknown(artifact.key)
    return folder / ACTIVATIONS, folder / METADATA
