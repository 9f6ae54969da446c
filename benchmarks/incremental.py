"""What 18 new images cost in a dataset of 1,797 that is encoded: about one hundredth.

A folder of scikit-learn's digits through the pocket encoder, then 18 digits more. Images are
counted at the encoder. `check_stored_rows` encodes a row or two of every run again on purpose, to
see that they agree with what is stored: those stand apart, as `rows_checked`.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

import tasks.images
from benchmarks._harness import Figures, main
from benchmarks._images import digit_images, write_digits
from benchmarks._making import (
    POCKET,
    TOY,
    encode_parts,
    image_draft,
    image_recipe,
    keep_dataset,
    quiet_runtime,
)
from conf.images import ImageRecipe
from conf.models import ModelSpec
from conf.runtime import Runtime
from conf.sources.folder import Source
from storage.publishing import seal
from storage.store import ArtifactStore
from tasks.images import check_stored_rows
from tasks.models.load import load_encoder
from tasks.models.protocols import EncodedImages, Float32, ImageTextEncoder

_ADDED = 18
_SMALL_ROWS = 40


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the seconds of the second run, and their ratio to those of the first."""
    runtime = quiet_runtime(folder / "store")
    recipe = image_recipe(TOY if small else POCKET, runtime)
    _warm_up(recipe, runtime)
    digits = list(islice(digit_images(), _SMALL_ROWS if small else None))
    write_digits(folder / "digits", digits)
    first = _run(folder, recipe, runtime)
    # Mirrored digits are images that were never seen.
    write_digits(folder / "digits", [np.fliplr(one) for one in digits[:_ADDED]], len(digits))
    second = _run(folder, recipe, runtime)
    assert first["rows_encoded"] == len(digits), first
    assert second["rows_encoded"] == _ADDED, second
    return _figures(first, second, len(digits))


def _figures(first: Figures, second: Figures, rows: int) -> Figures:
    return {
        "ratio": round(second["seconds"] / first["seconds"], 4),
        "unit": "task seconds of the second run / task seconds of the first",
        "seconds": second["seconds"],
        "first_seconds": first["seconds"],
        "rows": rows,
        "rows_added": _ADDED,
        "rows_encoded": second["rows_encoded"],
        "rows_checked": second["rows_checked"],
        "second": second,
        "first": first,
    }


def _run(folder: Path, recipe: ImageRecipe, runtime: Runtime) -> Figures:
    """Make the features of the folder by the real tasks; return seconds and rows of the steps."""
    source, store = Source(root=folder / "digits"), ArtifactStore(runtime.store)
    clock, seen = _Clock(), Counter[str]()
    dataset, ledger = keep_dataset(source, runtime)
    clock.lap("scan_seconds")
    with image_draft(recipe, ledger, runtime) as draft:
        clock.lap("take_over_seconds")
        with _counting(seen, "rows_encoded"):
            encode_parts(recipe, dataset, source, runtime, draft.pending())
        clock.lap("encode_seconds")
        with _counting(seen, "rows_checked"):
            check_stored_rows.fn(recipe, dataset, source=source, runtime=runtime)
        clock.lap("check_seconds")
        made = seal(store, draft.key)
    clock.lap("publish_seconds")
    assert made.rows == len(ledger.contents) == len(ledger), "every image is one row of its own"
    return {"seconds": round(sum(clock.laps.values()), 4)} | clock.laps | dict(seen)


class _Clock:
    """Seconds between one `lap` and the next, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = round(now - self._last, 4), now


class _CountingEncoder:
    """An encoder that counts the images it is given and is in all else the one it stands for."""

    def __init__(self, encoder: ImageTextEncoder, seen: Counter[str], name: str) -> None:
        self._encoder, self._seen, self._name = encoder, seen, name
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_images(self, pixels: Float32, *, tokens: bool = False) -> EncodedImages:
        with self._lock:  # lanes come at the same time
            self._seen[self._name] += len(pixels)
        return self._encoder.encode_images(pixels, tokens=tokens)


@contextmanager
def _counting(seen: Counter[str], name: str) -> Iterator[None]:
    """Let every image that a task gives to an encoder be counted in `seen`, as `name`."""

    def load(spec: ModelSpec, runtime: Runtime) -> _CountingEncoder:
        return _CountingEncoder(load_encoder(spec, runtime), seen, name)

    with patch.object(tasks.images, "load_encoder", load):
        yield


def _warm_up(recipe: ImageRecipe, runtime: Runtime) -> None:
    """Load the model and give it one image, so that no run pays for what a process does once."""
    encoder = load_encoder(recipe.model, runtime)
    encoder.encode_images(encoder.preprocess(Image.new("RGB", (8, 8)))[None])


if __name__ == "__main__":
    main("incremental", measure)
