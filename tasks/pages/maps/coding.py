"""Arrays and values inside a page: in blocks that no browser runs, read back by its script."""

import json
from base64 import b64encode
from typing import Any

import numpy as np

from tasks.pages.shell import element

_MEANINGFUL = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def json_block(name: str, content: Any) -> str:
    """Return a block of JSON that no text in it can end; raises ValueError for NaN."""
    told = json.dumps(content, allow_nan=False, separators=(",", ":")).translate(_MEANINGFUL)
    return element("script", told, id=name, type="application/json")


def array_block(name: str, array: "np.ndarray[Any, Any]") -> str:
    """Return a block with the array's little-endian bytes: float32, or int32 for whole numbers."""
    plain = "<i4" if np.issubdtype(array.dtype, np.integer) else "<f4"
    return bytes_block(name, np.ascontiguousarray(array, dtype=plain).tobytes())


def bytes_block(name: str, content: bytes) -> str:
    """Return a block of bytes, in base64."""
    return element("script", b64encode(content).decode(), id=name, type="text/plain")
