"""Tensors in .pt files: read without running what is in them, and written."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from storage.atomic import write_file
from storage.projection.errors import BadVectors

Array = np.ndarray[Any, Any]


def read_tensor(path: Path) -> Array:
    """Return the one tensor in a .pt file; half precisions become float32.

    Raises BadVectors for what is no tensor, and for a file that would have to run code.
    """
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        raise BadVectors(
            f"{path} holds more than tensors and plain values, which only running its code could "
            "tell; it is not opened. Save the tensor alone: torch.save(embeddings.cpu(), "
            f"{path.name!r})."
        ) from problem
    except (RuntimeError, EOFError, ValueError, KeyError) as problem:
        raise BadVectors(f"{path} is not a file of torch.save: {problem}.") from problem
    if not isinstance(found, torch.Tensor):
        what = f"a dict of {', '.join(map(str, found))}" if isinstance(found, dict) else type(found)
        raise BadVectors(f"{path} holds {what}, not one tensor. Save the tensor alone.")
    if found.is_floating_point():
        found = found.to(torch.float32)
    array: Array = found.detach().contiguous().numpy()
    return array


def write_tensor(path: Path, values: Array) -> None:
    """Write `values` as one tensor: whole, or not at all."""
    import torch

    data = io.BytesIO()
    torch.save(torch.from_numpy(np.array(values)), data)  # a copy: pandas lends read-only ones
    write_file(path, data.getvalue())
