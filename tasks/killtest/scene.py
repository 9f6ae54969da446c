"""What the kill test makes: features of two small archives, the second mostly like the first."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conf.models import ModelSpec
from conf.runtime import Runtime
from conf.sources.npz import Source
from storage.dataset import open_rows
from storage.readers.pixels import decode
from tasks.models.load import load_encoder, resolve

PART_ROWS = 3
_FIRST_IMAGES, _ALL_IMAGES, _SIDE_PX = 10, 13, 12
_REMOVED = 4  # in the middle of the second part: two of its rows are copied, the other parts linked

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Row:
    """What the toy encoder gives for one content: pooled (D,) and tokens (T, D), both float16."""

    pooled: Array
    tokens: Array


@dataclass(frozen=True, eq=False)
class Scene:
    """Two datasets and the truth about them."""

    sources: tuple[Source, Source]
    model: ModelSpec
    truth: Mapping[str, Row]
    """The features of every content, computed without the store and without parts."""
    contents: frozenset[frozenset[str]]
    """The contents of each dataset, as sets."""


def build_scene(folder: Path, seed: int) -> Scene:
    """Return the scene that `seed` decides; its two archives are written into `folder`."""
    drawn = np.random.default_rng(seed)
    images = drawn.integers(0, 256, (_ALL_IMAGES, _SIDE_PX, _SIDE_PX, 3), np.uint8)
    first = _archive(folder / "first.npz", images[:_FIRST_IMAGES])
    second = _archive(folder / "second.npz", np.delete(images, _REMOVED, axis=0))
    model = resolve(ModelSpec(family="toy", precision="fp32"), Runtime(store=folder))
    truths = [_truth(source, model) for source in (first, second)]
    contents = frozenset(frozenset(truth) for truth in truths)
    return Scene((first, second), model, truths[0] | truths[1], contents)


def _archive(path: Path, images: Array) -> Source:
    np.savez(path, train_images=images)
    return Source(path=path)


def _truth(source: Source, model: ModelSpec) -> dict[str, Row]:
    rows = open_rows(source)
    contents = (rows.read(entry.uri) for entry in rows.entries())
    return {
        hashlib.sha256(data).hexdigest(): _encoded(data, rows.formats, model) for data in contents
    }


def _encoded(data: bytes, formats: frozenset[str], model: ModelSpec) -> Row:
    encoder = load_encoder(model, Runtime(device="cpu"))
    image = decode(data, max_megapixels=1.0, formats=formats)
    encoded = encoder.encode_images(encoder.preprocess(image)[None], tokens=True)
    assert encoded.tokens is not None
    return Row(encoded.pooled[0].astype(np.float16), encoded.tokens[0].astype(np.float16))
