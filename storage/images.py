"""Image features on disk: sealed parts of pooled features and, in a file of their own, patch
tokens.

A part holds `features.h5` with `image_features` (n, D) float16 and `content_sha256` (n, 32) uint8,
and for recipes with tokens `tokens.h5` with `image_token_features` (n, T, D) float16, contiguous.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from conf.images import ImageRecipe
from storage.comparing import moved_vectors
from storage.drafts import Draft
from storage.errors import DamagedArtifact, IncompleteArtifact, UnknownArtifact
from storage.hdf5 import read_rows, write_contiguous, write_pooled
from storage.kinds import Kind
from storage.parts import Marker, PartWriter
from storage.store import Artifact, ArtifactStore

if TYPE_CHECKING:
    import pandas as pd

    from storage.dataset import Ledger

FEATURES, TOKENS = "features.h5", "tokens.h5"

Array = np.ndarray[Any, Any]


def write_part(
    writer: PartWriter,
    contents: Sequence[str],
    pooled: Array,
    tokens: Array | None,
    fingerprint: str,
) -> None:
    """Write the features of `contents`: pooled (n, D) float16 and, unless None, tokens (n, T, D)
    float16."""
    digests = np.frombuffer(bytes.fromhex("".join(contents)), np.uint8).reshape(-1, 32)
    write_pooled(
        writer.folder / FEATURES,
        "image_features",
        pooled,
        {"content_sha256": digests},
        {"model_fingerprint": fingerprint},
    )
    if tokens is not None:
        sums = write_contiguous(writer.folder / TOKENS, "image_token_features", tokens)
        writer.add(TOKENS, sums)


def row_bytes(recipe: ImageRecipe) -> int:
    """Return about how many bytes a row takes on the disk; with tokens, for the largest models
    known."""
    return 1 << 21 if recipe.tokens else 1 << 12  # 729 x 1152 and 2048 float16


def copy_rows(source: Path, positions: Sequence[int], writer: PartWriter) -> None:
    """Write a part of some rows of the sealed part in `source`, by position."""
    with h5py.File(source / FEATURES, "r") as file:
        pooled, digests = file["image_features"][:], file["content_sha256"][:]
        fingerprint = str(file.attrs["model_fingerprint"])
    contents = [bytes(digests[position]).hex() for position in positions]
    tokens = None
    if (source / TOKENS).exists():
        tokens = read_rows(source / TOKENS, "image_token_features", positions)
    write_part(writer, contents, pooled[list(positions)], tokens, fingerprint)


def read_part_row(folder: Path, position: int) -> Array:
    """Return the pooled feature (D,) float16 at `position` of the sealed part in `folder`."""
    row: Array = read_rows(folder / FEATURES, "image_features", [position])[0]
    return row


def fingerprints(parts: Path, markers: Sequence[Marker]) -> set[str]:
    """Return the fingerprints of the models that made the parts: one, unless something is wrong."""
    found = set()
    for marker in markers:
        with h5py.File(parts / marker.part / FEATURES, "r") as file:
            found.add(str(file.attrs["model_fingerprint"]))
    return found


def finish(draft: Draft) -> None:
    """Refuse to publish parts that different models made."""
    found = fingerprints(draft.parts, list(draft.sealed().values()))
    if len(found) > 1:
        raise IncompleteArtifact(
            f"The parts of {draft.key} were made by {len(found)} different models, though one "
            f"recipe names "
            f"them (fingerprints {', '.join(sorted(name[:12] for name in found))}): random weights "
            f"of two "
            f"torch versions do that. Remove {draft.path} and run again."
        )


@dataclass(frozen=True)
class _Place:
    """Where a row lies: which part, and at which position in it."""

    part: str
    position: int


class ImageFeatures:
    """Read access to an artifact of image features; rows are asked for by content sha256."""

    def __init__(self, store: ArtifactStore, artifact: Artifact) -> None:
        self.artifact = artifact
        self.store = store
        self.path = store.path_of(artifact)
        self.manifest = store.manifest(artifact.key)

    @cached_property
    def markers(self) -> list[Marker]:
        """The markers of the parts, in order."""
        return self.store.markers(self.artifact)

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """The sha256 of each row's image content, in the order of the parts."""
        return tuple(row for marker in self.markers for row in marker.rows)

    @cached_property
    def _places(self) -> dict[str, _Place]:
        return {
            row: _Place(marker.part, position)
            for marker in self.markers
            for position, row in enumerate(marker.rows)
        }

    def pooled(self, contents: Sequence[str] | None = None) -> Array:
        """Return the pooled features (n, D) float16 of `contents`, or of all rows in their own
        order."""
        return self._read(FEATURES, "image_features", contents)

    def tokens(self, contents: Sequence[str] | None = None) -> Array:
        """Return the patch tokens (n, T, D) float16 of `contents`, or of all rows in their own
        order."""
        if not self.manifest.recipe["tokens"]:
            raise UnknownArtifact(
                f"{self.artifact.key} was made without patch tokens. Make it with tokens = true, "
                f"by a model "
                "that has them."
            )
        return self._read(TOKENS, "image_token_features", contents)

    def ledger(self) -> "Ledger":
        """Return the ledger of the dataset that the features were first made for."""
        from storage.dataset import read_ledger

        return read_ledger(self.store.folder(self.manifest.made["dataset"]))

    def frame(self, ledger: "Ledger") -> "pd.DataFrame":
        """Return the ok rows of `ledger` as a table, each with its feature in column `feature`.

        Any ledger of the same contents does: labels and names are its own.
        """
        frame = ledger.frame()
        frame = frame[frame["status"] == "ok"].reset_index(drop=True)
        return frame.assign(feature=list(self.pooled(frame["sha256"].tolist())))

    def _read(self, file: str, name: str, contents: Sequence[str] | None) -> Array:
        wanted = self.contents if contents is None else contents
        by_part: dict[str, list[int]] = {}
        for row, content in enumerate(wanted):
            by_part.setdefault(self._place(content).part, []).append(row)
        out: Array | None = None
        for part, rows in by_part.items():
            positions = [self._place(wanted[row]).position for row in rows]
            block = read_rows(self._checked(part, file), name, positions)
            out = np.empty((len(wanted), *block.shape[1:]), block.dtype) if out is None else out
            out[rows] = block
        return np.empty((0, 0), np.float16) if out is None else out

    def _place(self, content: str) -> _Place:
        place = self._places.get(content)
        if place is None:
            raise UnknownArtifact(
                f"{self.artifact.key} has no features of content {content[:12]}...: it was made of "
                f"other images. "
                "Run the flow over the dataset that holds it."
            )
        return place

    def _checked(self, part: str, file: str) -> Path:
        name = f"parts/{part}/{file}"
        if problem := self.manifest.files[name].problem(self.path / name, rehash=False):
            raise DamagedArtifact(
                f"{self.artifact.key}: {problem}. `featuremill verify` quarantines it; run the "
                f"flow again to remake it."
            )
        return self.path / name


def _compare(old: ImageFeatures, new: ImageFeatures) -> list[str]:
    return moved_vectors(old.contents, old.pooled(), new.contents, new.pooled())


KINDS = (
    Kind(
        name=ImageRecipe.kind,
        open=ImageFeatures,
        part_rows=256,
        finish=finish,
        copy_rows=copy_rows,
        compare=_compare,
    ),
)
