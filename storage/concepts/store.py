"""A concept store of a run, opened: the view, its sizes checked, and one file of it for others."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from conf.errors import RecipeError, did_you_mean
from storage.atomic import fsync_file, rename, temporary_beside
from storage.concepts.file import (
    IDS,
    LABELS,
    NAME,
    POOLED,
    ROW_DATASETS,
    TOKENS,
    Array,
    attributes,
    reading,
    refuse_artifact,
)
from storage.concepts.reading import (
    BatchType,
    Samples,
    access_batch,
    access_sample_by_index,
    get_template_names,
    summarize_h5,
)
from storage.concepts.rows import BLOCK_ROWS, RowReader
from storage.concepts.templates import FeatureType, TemplateFeatures, fetch_template_features
from storage.errors import DamagedArtifact
from storage.hdf5 import POOLED_CHUNK_ROWS, new_file
from storage.store import Artifact, ArtifactStore

_COPY_ROWS = {POOLED: 2 * POOLED_CHUNK_ROWS, TOKENS: 16}


class ConceptFile:
    """Read access to a concept store: a view, a bundle, or a file of one's own."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser()
        self.name = str(path)
        with reading(self.path):
            pass

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The root attributes, JSON parsed."""
        with h5py.File(self.path, "r") as file:
            return attributes(file)

    def __len__(self) -> int:
        with h5py.File(self.path, "r") as file:
            return len(file[IDS])

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """The sha256 of each row's image content; raises RecipeError for a file without them."""
        with h5py.File(self.path, "r") as file:
            if "content_sha256" not in file:
                raise RecipeError(
                    f"{self.name} does not say which contents its images had: it was filled "
                    "batch by batch. A store made by a run says so."
                )
            if len(file["content_sha256"]) != len(file[IDS]):
                raise RecipeError(
                    f"{self.name} has {len(file[IDS])} images and knows the contents of "
                    f"{len(file['content_sha256'])}: a batch was appended to it."
                )
            return tuple(bytes(row).hex() for row in file["content_sha256"][:])

    @cached_property
    def names(self) -> list[str]:
        """What people call each row: its uri, or its id where there is none."""
        with h5py.File(self.path, "r") as file:
            rows = len(file[IDS])
            known = [str(uri) for uri in file["uri"].asstr()[:rows]] if "uri" in file else []
            return known + [str(number) for number in file[IDS][len(known) :]]

    def row_named(self, name: str) -> int:
        """Return the row of a uri or, for digits only, the row of that number."""
        if name in self.names:
            return self.names.index(name)
        if name.isdecimal() and int(name) < len(self):
            return int(name)
        raise RecipeError(
            f"{self.name} has no image {name!r}. {did_you_mean(name, self.names[:10000])} A row's "
            f"number, from 0 to {len(self) - 1}, will do too."
        )

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[tuple[int, Array]]:
        """Yield (first row, pooled features) of all rows, block by block."""
        with h5py.File(self.path, "r") as file:
            yield from RowReader(file[POOLED]).blocks(rows)

    def column(self, name: str) -> Array:
        """Return a whole column: ids, labels, split, uri, row_id."""
        with h5py.File(self.path, "r") as file:
            dataset = file[name]
            is_text = h5py.check_string_dtype(dataset.dtype)
            return np.asarray(dataset.asstr()[:] if is_text else dataset[:])

    def features(self, rows: Sequence[int] | slice | range | None = None) -> Array:
        """Return pooled features (n, D) float16 of `rows`, by default of all."""
        return self._read(POOLED, rows)

    def tokens(self, rows: Sequence[int] | slice) -> Array:
        """Return patch tokens (n, T_img, D') float16 of `rows`."""
        return self._read(TOKENS, rows)

    def _read(self, name: str, rows: Sequence[int] | slice | range | None) -> Array:
        with h5py.File(self.path, "r") as file:
            if name not in file:
                raise RecipeError(
                    f"{self.name} has no patch tokens. Make it with tokens = true, by a "
                    "model that has them."
                )
            return RowReader(file[name]).read(rows)

    def summary(self) -> dict[str, Any]:
        """Return shapes, attributes and templates."""
        return summarize_h5(self.path, show=False)

    def sample(self, index: int) -> dict[str, Any]:
        """Return one row: id, label, split, features, tokens."""
        return access_sample_by_index(self.path, index)

    def batch(
        self, split: str | None, idx: int | slice | Sequence[int], type: BatchType = "cls"
    ) -> Samples:
        """Return images of a split by their place in it."""
        return access_batch(self.path, split, idx, type)

    def template_names(self, prefix: str = "") -> list[str]:
        """Return the ids of the templates that begin with `prefix`."""
        return get_template_names(self.path, prefix)

    def templates(
        self,
        template: str | None = None,
        *,
        concept_list: Sequence[str] | None = None,
        features: FeatureType = "pooled",
    ) -> dict[str, TemplateFeatures]:
        """Return prompts with their features, by template id; see fetch_template_features."""
        return fetch_template_features(
            self.path, template, concept_list=concept_list, features=features
        )


class ConceptStore(ConceptFile):
    """The view of a concept store that a run made; rows are those of the ledger that are ok."""

    def __init__(self, store: ArtifactStore, artifact: Artifact) -> None:
        self.store, self.artifact = store, artifact
        folder = store.path_of(artifact)
        if problem := store.manifest(artifact.key).problem(folder, rehash=False):
            raise DamagedArtifact(
                f"{artifact.key}: {problem}. `featuremill verify` quarantines it; run the flow "
                "again to remake it."
            )
        super().__init__(folder / NAME)
        self.name = artifact.key


def write_bundle(store: ArtifactStore, artifact: Artifact, path: Path) -> None:
    """Write the store as one self-contained file at `path`, which must not exist.

    It can be appended to by the functions of storage/concepts/writing.py.
    """
    refuse_artifact(path)
    source = ConceptStore(store, artifact)
    temporary = temporary_beside(path)
    try:
        with h5py.File(source.path, "r") as view, new_file(temporary) as bundle:
            for name in view:
                _copy(view, bundle, name)
            bundle.attrs.update(dict(view.attrs))
        fsync_file(temporary)
        rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _copy(view: h5py.File, bundle: h5py.File, name: str) -> None:
    node = view[name]
    if name not in (*ROW_DATASETS, TOKENS):
        view.copy(name, bundle)
        return
    shape = node.shape
    height = 1 if name == TOKENS else POOLED_CHUNK_ROWS
    copy = bundle.create_dataset(
        name,
        shape,
        node.dtype,
        chunks=(height, *shape[1:]),
        maxshape=(None, *shape[1:]),
        fillvalue={POOLED: np.nan, TOKENS: np.nan, IDS: 0, LABELS: -1}.get(name),
    )
    if name not in _COPY_ROWS:
        copy[:] = node[:]
        return
    for start, block in RowReader(node).blocks(_COPY_ROWS[name]):
        copy[start : start + len(block)] = block
