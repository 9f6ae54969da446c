"""A view as a concept store has it, over files written as its parts are."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from storage.concepts.view import Segment, write_virtual
from storage.hdf5 import write_contiguous, write_pooled


def write_view(
    folder: Path, name: str, values: np.ndarray[Any, Any], *, part_rows: int | None = None
) -> Path:
    """Return a view of `values`: over contiguous parts of `part_rows`, or one file in chunks."""
    places = []
    size = part_rows or len(values)
    for number, start in enumerate(range(0, len(values), size)):
        rows = values[start : start + size]
        path = folder / f"{number:05d}.h5"
        if part_rows:
            write_contiguous(path, name, rows)
        else:
            write_pooled(path, name, rows, {})
        places.append((path, Segment(number, 0, len(rows))))
    view = folder / "view.h5"
    with h5py.File(view, "w") as file:
        file.attrs["D"] = values.shape[-1]
        write_virtual(file, name, len(values), places, folder)
    return view
