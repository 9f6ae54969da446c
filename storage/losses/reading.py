"""Reading loss matrices: pairs, components, regrets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from storage.errors import DamagedArtifact, StoreError, UnknownArtifact
from storage.losses.parts import ARRAYS, RUN, Block, RunCard
from storage.store import Artifact, ArtifactStore

DATABASE = "distances.db"
T = TypeVar("T", bound=np.generic)
Image = int | str
"""A place in `contents`, or the sha256 of an image (its start, where no other begins so)."""


class LossMatrix:
    """Read access to a loss matrix. Row i is a head, column j the detections it is compared with.

    Rows and columns stand in the order of `contents`. Parts are read when first asked for.
    """

    def __init__(self, store: ArtifactStore, artifact: Artifact) -> None:
        self.store, self.artifact = store, artifact
        self.path = store.path_of(artifact)
        self.manifest = store.manifest(artifact.key)
        self._markers = store.markers(artifact)
        self._blocks: dict[int, Block] = {}

    def __len__(self) -> int:
        return len(self.contents)

    @cached_property
    def card(self) -> RunCard:
        """Which run the matrix is of. Raises UnknownArtifact of no images."""
        if not self._markers:
            raise UnknownArtifact(f"{self.artifact.key} was made of no images: it has no losses.")
        return RunCard.read(self._checked(0, RUN).parent)

    @property
    def components(self) -> tuple[str, ...]:
        """The losses, such as "box", "cls", "dfl", "seg"."""
        return self.card.components

    @property
    def database(self) -> Path:
        """The path of distances.db."""
        return self.path / DATABASE

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """The sha256 of every image, in the order of rows and columns."""
        return self._block(0).contents if self._markers else ()

    @cached_property
    def targets(self) -> NDArray[np.int32]:
        """How many detections each image has (N,)."""
        return self._block(0).targets if self._markers else np.zeros(0, np.int32)

    def dist(self, i: Image, j: Image) -> dict[str, float]:
        """Return the losses, by component, of image i's head with the detections of image j."""
        part, row = self._rows[self.contents[self.place(i)]]
        losses = self._block(part).losses[:, row, self.place(j)]
        return dict(zip(self.components, losses.tolist(), strict=True))

    def matrix(self, component: str) -> NDArray[np.float32]:
        """Return the N x N losses of one component. Raises StoreError for one it lacks."""
        if component not in self.components:
            raise StoreError(
                f"{self.artifact.key} has no {component!r} losses. Its head has: "
                f"{', '.join(self.components)}."
            )
        place = self.components.index(component)
        return self._assembled([block.losses[place] for block in self._all])

    def total(self, components: Sequence[str] = ()) -> NDArray[np.float32]:
        """Return the sum of some components, of all unless any are named."""
        parts = [self.matrix(name) for name in components or self.components]
        return np.asarray(np.sum(parts, axis=0, dtype=np.float64), np.float32)

    def regret(self, component: str) -> NDArray[np.float32]:
        """Return d(i, j) - d(i, i): how much worse than its own the detections of j fit i."""
        losses = self.matrix(component)
        return np.asarray(losses - losses.diagonal()[:, None], np.float32)

    def regrets_of(self, image: Image) -> NDArray[np.float32]:
        """Return the regrets (N,) of one image's head, all losses together; only the block of its
        row is read."""
        place = self.place(image)
        part, row = self._rows[self.contents[place]]
        losses = self._block(part).losses[:, row].sum(axis=0, dtype=np.float64)
        return np.asarray(losses - losses[place], np.float32)

    def normalisers(self) -> NDArray[np.float32]:
        """Return the sums of target scores (N, N), NaN of the stock backend, which tells none."""
        return self._assembled([block.normalisers for block in self._all])

    def positives(self) -> NDArray[np.int32]:
        """Return how many anchors stood for a target (N, N), -1 of the stock backend."""
        return self._assembled([block.positives for block in self._all])

    def place(self, image: Image) -> int:
        """Return the place of an image. Raises UnknownArtifact of one that is not here."""
        if isinstance(image, int):
            if -len(self) <= image < len(self):
                return image % len(self)
            raise UnknownArtifact(
                f"There is no image {image} in {self.artifact.key}: it has 0 to {len(self) - 1}."
            )
        found = [place for place, name in enumerate(self.contents) if name.startswith(image)]
        if len(found) != 1:
            told = f"{len(found)} images begin" if found else "no image begins"
            raise UnknownArtifact(
                f"{image!r} names no image of {self.artifact.key}: {told} so. Give more of the "
                "sha256, or a place."
            )
        return found[0]

    @cached_property
    def sizes_px(self) -> dict[str, tuple[int | None, int | None]]:
        """Height and width of every image, by its sha256."""
        return {
            content: (int(size[0]), int(size[1]))
            for rows, block in self.blocks()
            for content, size in zip(rows, block.sizes_px, strict=True)
        }

    def known(self, contents: Sequence[str], digests: NDArray[np.uint8]) -> "Known":
        """Return which of the columns `contents`, with these detections, are here too."""
        own = {content: place for place, content in enumerate(self.contents)}
        same = self._block(0).digests if self._markers else np.zeros((0, 32), np.uint8)
        wanted, held = [], []
        for column, content in enumerate(contents):
            place = own.get(content)
            if place is not None and np.array_equal(same[place], digests[column]):
                wanted.append(column)
                held.append(place)
        return Known(self, np.array(wanted, np.int64), np.array(held, np.int64))

    def row(self, content: str) -> tuple[Block, int] | None:
        """Return the block that holds the row of an image, and its place there; None of none."""
        found = self._rows.get(content)
        return (self._block(found[0]), found[1]) if found else None

    def blocks(self) -> Iterator[tuple[Sequence[str], Block]]:
        """Yield every block with the images that its rows are of."""
        for marker, block in zip(self._markers, self._all, strict=True):
            yield marker.rows, block

    @cached_property
    def _rows(self) -> dict[str, tuple[int, int]]:
        return {
            row: (part, place)
            for part, marker in enumerate(self._markers)
            for place, row in enumerate(marker.rows)
        }

    def _assembled(self, blocks: list[NDArray[T]]) -> NDArray[T]:
        if not blocks:
            raise UnknownArtifact(f"{self.artifact.key} was made of no images: it has no losses.")
        rows = [row for marker in self._markers for row in marker.rows]
        order = {row: place for place, row in enumerate(rows)}
        return np.concatenate(blocks)[[order[content] for content in self.contents]]

    @property
    def _all(self) -> list[Block]:
        return [self._block(part) for part in range(len(self._markers))]

    def _block(self, part: int) -> Block:
        if part not in self._blocks:
            self._blocks[part] = Block.read(self._checked(part, ARRAYS).parent)
        return self._blocks[part]

    def _checked(self, part: int, file: str) -> Path:
        name = f"parts/{self._markers[part].part}/{file}"
        if problem := self.manifest.files[name].problem(self.path / name, rehash=False):
            raise DamagedArtifact(
                f"{self.artifact.key}: {problem}. `featuremill verify` quarantines it; run the "
                "flow again to remake it."
            )
        return self.path / name


@dataclass(frozen=True, eq=False)
class Known:
    """The columns that an older matrix shares with a new one."""

    matrix: LossMatrix
    wanted: NDArray[np.int64]
    """Their places in the new one."""
    held: NDArray[np.int64]
    """Their places in the older one."""

    def __len__(self) -> int:
        return len(self.wanted)
