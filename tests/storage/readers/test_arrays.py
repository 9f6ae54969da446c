import hashlib
from io import BytesIO

import numpy as np
import pytest

from storage.readers import arrays


def test_packed_bytes_are_pinned_whatever_numpy_runs() -> None:
    data = arrays.pack(np.arange(64, dtype=np.uint8).reshape(8, 8))
    assert hashlib.sha256(data).hexdigest()[:16] == "ea3cfbfa52315524"


@pytest.mark.parametrize("shape", [(8, 8), (28, 28, 3), (1, 1), (224, 224, 3)])
def test_numpy_reads_what_is_packed(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    data = arrays.pack(pixels)
    assert np.array_equal(np.load(BytesIO(data), allow_pickle=False), pixels)
    assert np.array_equal(arrays.unpack(data), pixels)
    assert (len(data) - pixels.size) % 64 == 0


@pytest.mark.parametrize("array", [np.zeros((2, 2)), np.zeros((2, 2, 2), np.uint8)])
def test_another_array_is_no_image(array: np.ndarray) -> None:
    file = BytesIO()
    np.save(file, array)
    with pytest.raises(ValueError, match="is no image"):
        arrays.unpack(file.getvalue())


def test_objects_are_never_loaded() -> None:
    file = BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        arrays.unpack(file.getvalue())
