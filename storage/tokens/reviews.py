"""Reviews on disk: `reviews.parquet`, one row a review, and `positions.h5`, whose tokens are whose.

The rows stand in the order of the activation file's review_ids_unique.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from storage.hdf5 import new_file
from storage.parts import PartWriter
from storage.steps import step
from storage.store import Artifact, ArtifactStore
from storage.tokens.errors import BadActivations
from storage.tokens.positions import PositionMap
from storage.tokens.source import as_bytes

if TYPE_CHECKING:
    import pandas as pd

REVIEWS, POSITIONS = "reviews.parquet", "positions.h5"
COLUMNS = {
    "review_ids": "review_id",
    "texts": "full_text",
    "stars": "stars",
    "useful": "useful",
    "user_ids": "user_id",
    "business_ids": "business_id",
}
"""Arrays of the seed's NPZ to columns of its table."""
_TEXTS = {"review_ids", "texts", "user_ids", "business_ids"}

Array = np.ndarray[Any, Any]


def review_frame(arrays: dict[str, Array], ids: Array, path: Path) -> "pd.DataFrame":
    """Return the seed's table of the reviews `ids`, in their order.

    Raises BadActivations unless `arrays`, of the metadata at `path`, knows every one of them.
    """
    import pandas as pd

    _check_arrays(arrays, path)
    known = as_bytes(np.asarray(arrays["review_ids"]))
    order = np.argsort(known, kind="stable")
    # Of several of one id the last, as the seed's dict has it.
    places = np.maximum(np.searchsorted(known[order], ids, side="right") - 1, 0)
    rows = order[places] if len(known) else places
    missing = np.flatnonzero(known[rows] != ids) if len(known) else np.arange(len(ids))
    if len(missing):
        first = int(missing[0])
        raise BadActivations(
            f"{path} has no review {ids[first].decode()!r}, row {first} of review_ids_unique; "
            f"{len(missing)} of {len(ids)} reviews of the activation file are missing. Set "
            "files.metadata to the metadata of the same data, or add what is missing."
        )
    return pd.DataFrame({COLUMNS[n]: _column(n, arrays[n], path)[rows] for n in COLUMNS})


def _check_arrays(arrays: dict[str, Array], path: Path) -> None:
    missing = COLUMNS.keys() - arrays.keys()
    if missing:
        raise BadActivations(
            f"{path} lacks {', '.join(sorted(missing))}; it has {', '.join(sorted(arrays))}."
        )
    lengths = {name: arrays[name].shape for name in COLUMNS}
    if len(set(lengths.values())) > 1 or len(lengths["texts"]) != 1:
        raise BadActivations(f"{path}: its arrays have different shapes: {lengths}.")


def _column(name: str, values: Array, path: Path) -> Array:
    if name in _TEXTS:
        return np.array([_text(value) for value in values.tolist()], dtype=object)
    try:
        return values.astype(np.float64 if values.dtype.kind in "fOUS" else np.int64)
    except (TypeError, ValueError) as problem:
        raise BadActivations(
            f"{path}: {name} holds what is no number ({problem}). Write numbers, NaN for none."
        ) from problem


def _text(value: Any) -> str:
    """Return a text or an id; None and NaN, which tables write for a missing one, are empty."""
    if isinstance(value, bytes):
        return value.decode()
    return "" if value is None or value != value else str(value)


def write_reviews(writer: PartWriter, frame: "pd.DataFrame", positions: PositionMap) -> None:
    """Write the two files of the one part."""
    path = writer.folder / REVIEWS
    with step("write", path):
        frame.to_parquet(path, index=False)
    path = writer.folder / POSITIONS
    with new_file(path) as file:
        file.create_dataset("run_start", data=positions.run_start)
        file.create_dataset("run_review", data=positions.run_review)
        file.attrs["n_tokens"] = positions.n_tokens
        file.attrs["n_reviews"] = positions.n_reviews


class Reviews:
    """Read access to reviews: their table, and the position map."""

    def __init__(self, store: ArtifactStore, artifact: Artifact) -> None:
        self.artifact = artifact
        (self.path,) = sorted(
            folder for folder in store.path_of(artifact).glob("parts/*") if folder.is_dir()
        )

    @cached_property
    def positions(self) -> PositionMap:
        """Which tokens are whose; reviews are rows of `reviews()`."""
        with h5py.File(self.path / POSITIONS, "r") as file:
            counts = (int(file.attrs[name]) for name in ("n_tokens", "n_reviews"))
            return PositionMap(file["run_start"][:], file["run_review"][:], *counts)

    @cached_property
    def ids(self) -> Array:
        """The review ids, in the order of the rows."""
        import pandas as pd

        found = pd.read_parquet(self.path / REVIEWS, columns=["review_id"])["review_id"]
        return found.to_numpy(dtype=object)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each review id."""
        return {str(name): row for row, name in enumerate(self.ids)}

    def reviews(self) -> "pd.DataFrame":
        """Return the seed's table: review_id, full_text, stars, useful, user_id, business_id."""
        import pandas as pd

        return pd.read_parquet(self.path / REVIEWS)

    @cached_property
    def review_lookup(self) -> dict[str, str]:
        """The text of each review, by id."""
        import pandas as pd

        frame = pd.read_parquet(self.path / REVIEWS, columns=["review_id", "full_text"])
        return dict(zip(frame["review_id"], frame["full_text"], strict=True))

    def review_token_positions(self, review_id: str) -> list[int]:
        """Return the positions of a review's tokens, as the seed's map lists them; unknown: []."""
        row = self.row_of.get(review_id)
        return [] if row is None else self.positions.positions_of(row)
