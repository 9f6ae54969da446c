"""Reading detections: tables, features and maps by the content of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.detections import parts
from storage.detections.database import DATABASE
from storage.detections.parts import ModelCard, layer_names
from storage.errors import DamagedArtifact, UnknownArtifact
from storage.hdf5 import read_rows
from storage.store import Artifact, ArtifactStore

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

GRID_PX = 4


@dataclass(frozen=True, eq=False)
class InSquare:
    """The detections of one image in the model's square, the most confident first."""

    boxes_px: NDArray[np.float32]
    """(n, 4) x1, y1, x2, y2."""
    class_ids: NDArray[np.int64]
    confidence: NDArray[np.float32]
    masks: NDArray[np.bool_] | None
    """(n, S/4, S/4), each inside its box; None of a model without masks."""


class Detections:
    """Read access to an artifact of detections."""

    def __init__(self, store: ArtifactStore, artifact: Artifact) -> None:
        self.store, self.artifact = store, artifact
        self.path = store.path_of(artifact)
        self.manifest = store.manifest(artifact.key)

    @property
    def database(self) -> Path:
        """The path of embeddings.db."""
        return self._checked(DATABASE)

    @cached_property
    def card(self) -> ModelCard:
        """The model: its classes, its head, its losses. Raises UnknownArtifact of no images."""
        if not self._folders:
            raise UnknownArtifact(f"{self.artifact.key} was made of no images: no model ran.")
        return ModelCard.read(self._folders[0])

    @property
    def names(self) -> tuple[str, ...]:
        """The classes of the model."""
        return self.card.names

    @property
    def size_px(self) -> int:
        """The side of the model's square."""
        return int(self.manifest.recipe["size_px"])

    @cached_property
    def images(self) -> "pd.DataFrame":
        """One row an image: size, place in the square, losses, metrics, classes."""
        frame: pd.DataFrame = _joined(self._image_tables, parts.images_schema()).to_pandas()
        return frame

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """The sha256 of every image, in the order of the parts."""
        return tuple(self.images["content_sha256"])

    @cached_property
    def predictions(self) -> "pd.DataFrame":
        """One row a detection, in the order of the images, the most confident first."""
        frame: pd.DataFrame = _joined(self._tables, parts.predictions_schema()).to_pandas()
        names = np.array(self.card.names if self._folders else (), object)
        return frame.assign(class_name=names[frame["class_id"].to_numpy()])

    def in_square(self, content: str) -> InSquare:
        """Return the detections of one image in the model's square: what losses are taken of."""
        part, place = self._place(content)
        ends = self._ends[part]
        rows = slice(int(ends[place]), int(ends[place + 1]))
        table = self._tables[part].slice(rows.start, rows.stop - rows.start)
        boxes = [table[f"square_{side}"].to_numpy() for side in ("x1", "y1", "x2", "y2")]
        masks = None
        if (grids := self._grids[part]) is not None:
            masks = parts.unpacked(grids[rows], self.size_px // GRID_PX)
        return InSquare(
            np.stack(boxes, axis=1).astype(np.float32),
            table["class_id"].to_numpy().astype(np.int64),
            table["confidence"].to_numpy().astype(np.float32),
            masks,
        )

    def gap(self, contents: Sequence[str] | None = None, layer: int = -1) -> NDArray[np.float32]:
        """Return the mean features (n, C) of one kept layer, the last one unless said otherwise."""
        wanted = self.contents if contents is None else contents
        name = layer_names(len(self.card.layers))[layer]
        rows = [self._gap[part][name][place] for part, place in map(self._place, wanted)]
        return np.stack(rows) if rows else np.empty((0, 0), np.float32)

    def maps(self, content: str, layer: int = -1) -> NDArray[np.float16]:
        """Return the feature map (h, w, C) of one image at one kept layer."""
        part, place = self._place(content)
        name = layer_names(len(self.card.layers))[layer]
        path = self._checked(f"parts/{self._folders[part].name}/{name}.h5")
        found: NDArray[np.float16] = read_rows(path, name, [place])[0]
        return found

    @cached_property
    def _folders(self) -> list[Path]:
        return [self.path / "parts" / m.part for m in self.store.markers(self.artifact)]

    @cached_property
    def _tables(self) -> list["pa.Table"]:
        return [parts.read_table(folder, parts.PREDICTIONS) for folder in self._folders]

    @cached_property
    def _gap(self) -> list[dict[str, NDArray[Any]]]:
        return [parts.read_arrays(folder, parts.GAP) for folder in self._folders]

    @cached_property
    def _grids(self) -> list[NDArray[np.uint8] | None]:
        has_masks = bool(self._folders) and self.card.task == "segment"
        return [
            parts.read_arrays(folder, parts.GRIDS)["grids"] if has_masks else None
            for folder in self._folders
        ]

    @cached_property
    def _image_tables(self) -> list["pa.Table"]:
        return [parts.read_table(folder, parts.IMAGES) for folder in self._folders]

    @cached_property
    def _ends(self) -> list[NDArray[np.int64]]:
        return [
            np.concatenate(([0], np.cumsum(t["detections"].to_numpy()))) for t in self._image_tables
        ]

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        return {
            content: (part, place)
            for part, table in enumerate(self._image_tables)
            for place, content in enumerate(table["content_sha256"].to_pylist())
        }

    def _place(self, content: str) -> tuple[int, int]:
        found = self._places.get(content)
        if found is None:
            raise UnknownArtifact(
                f"{self.artifact.key} has nothing of content {content[:12]}...: it was made of "
                "other images. Run the flow over the dataset that holds it."
            )
        return found

    def _checked(self, name: str) -> Path:
        if problem := self.manifest.files[name].problem(self.path / name, rehash=False):
            raise DamagedArtifact(
                f"{self.artifact.key}: {problem}. `featuremill verify` quarantines it; run the "
                "flow again to remake it."
            )
        return self.path / name


def _joined(tables: Sequence["pa.Table"], schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    return pa.concat_tables(tables) if tables else schema.empty_table()
