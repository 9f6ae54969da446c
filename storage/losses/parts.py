"""The parts of `loss-matrix`: blocks of rows, each with all its columns.

A part holds `losses.safetensors` (see `Block`) and `run.json` (components, and the row of the run
in embeddings.db). A row is the head of one image, a column the detections of one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.atomic import json_bytes
from storage.parts import PartWriter
from storage.steps import step

ARRAYS, RUN = "losses.safetensors", "run.json"


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows of a matrix, C components by R rows by N columns."""

    losses: NDArray[np.float32]
    """(C, R, N), gains included: what the stock criterion calls its loss items."""
    normalisers: NDArray[np.float32]
    """(R, N) sums of target scores; losses are divided by them, where they are less than 1 by 1."""
    positives: NDArray[np.int32]
    """(R, N) anchors that stand for a target."""
    columns: NDArray[np.uint8]
    """(N, 32) sha256 of each column's image."""
    targets: NDArray[np.int32]
    """(N,) how many detections each column has."""
    digests: NDArray[np.uint8]
    """(N, 32) sha256 of each column's detections: of equal ones, columns are interchangeable."""
    sizes_px: NDArray[np.int32]
    """(R, 2) height and width of each row's image."""

    @classmethod
    def read(cls, folder: Path) -> "Block":
        """Return the block of the part in `folder`."""
        from safetensors.numpy import load_file

        return cls(**load_file(folder / ARRAYS))

    @staticmethod
    def read_sizes_px(folder: Path) -> NDArray[np.int32]:
        """Return `sizes_px` of the part in `folder`, and read nothing else."""
        from safetensors import safe_open

        with safe_open(folder / ARRAYS, framework="numpy") as file:
            sizes_px: NDArray[np.int32] = file.get_tensor("sizes_px")
        return sizes_px

    @property
    def contents(self) -> tuple[str, ...]:
        """The sha256, in hex, of each column's image."""
        return tuple(bytes(row).hex() for row in self.columns)


@dataclass(frozen=True)
class RunCard:
    """Which run of a model a matrix is of."""

    components: tuple[str, ...]
    run: Mapping[str, Any]
    """The row of `runs` in the embeddings.db of the detections, but for its run_id."""

    @classmethod
    def read(cls, folder: Path) -> "RunCard":
        """Return the card of the part in `folder`."""
        read = json.loads((folder / RUN).read_bytes())
        return cls(tuple(read["components"]), read["run"])


def digests_of(contents: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return sha256s in hex as bytes (n, 32)."""
    joined = bytes.fromhex("".join(contents))
    return np.frombuffer(joined, np.uint8).reshape(-1, 32)


def write_part(writer: PartWriter, block: Block, card: RunCard) -> None:
    """Write a part."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(values) for name, values in vars(block).items()}
    content = {"components": list(card.components), "run": dict(card.run)}
    with step("write", writer.folder / ARRAYS):
        (writer.folder / ARRAYS).write_bytes(save(arrays))
    with step("write", writer.folder / RUN):
        (writer.folder / RUN).write_bytes(json_bytes(content))
