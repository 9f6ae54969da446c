"""Technical quality without a neural score: our task against the composition of libraries.

64 photos of 1 to 4 megapixels. Theirs: one photo after the other, cv2 for sharpness and the
preview, numpy for exposure, scikit-image for noise, piq's BRISQUE at its default float32, the three
in three threads. Ours: the task `measure_part`, checks, thumbnails, raw values and sealing
included, then BRISQUE by the same support vectors, and the noise of the originals, for which every
photo is decoded once more. Both may use every core. Both decode the same
JPEGs.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks._harness import Figures, alternate, main, median_ratio, rounded, timed
from benchmarks._images import write_photos
from benchmarks._making import keep_dataset, quiet_runtime
from conf.machine import cores
from conf.quality import BrisqueRecipe, NoiseRecipe, QualityRecipe
from conf.runtime import Runtime
from conf.sources.folder import Source
from storage.drafts import Making
from storage.publishing import driving, seal
from storage.store import Artifact, ArtifactStore
from tasks.quality import measure_noise, measure_part, score_brisque
from tasks.quality.weights import SVM770, load_brisque, sha256_of

_SIZES_PX = ((1152, 864), (1600, 1200), (1920, 1440), (2304, 1728))  # 1.0 to 4.0 megapixels
_PHOTOS, _SMALL_PHOTOS = 64, 4
_ROUNDS = 2


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return how many times as fast the task is, and what each side needs for a photo."""
    count = (_SMALL_PHOTOS if small else _PHOTOS) // len(_SIZES_PX)
    for size in _SIZES_PX:
        write_photos(folder / "photos" / str(size[0]), count, size, max_bytes=1 << 22)
    photos = sorted((folder / "photos").rglob("*.jpg"))
    with _shipped_vectors(folder):
        _theirs(photos[0])  # libraries are imported, kernels compiled, before the clock runs
        _ours(folder, "warm", limit=1)
        seconds = alternate(
            {
                "theirs": lambda number: timed(lambda: [_theirs(path) for path in photos]),
                "ours": lambda number: _ours(folder, str(number)),
            },
            1 if small else _ROUNDS,
        )
    return {
        "ratio": round(median_ratio(seconds["theirs"], seconds["ours"]), 2),
        "unit": "seconds of cv2, scikit-image and piq / seconds of the task",
        "seconds": rounded(seconds["ours"])[0],
        "photos": len(photos),
        "our_seconds": rounded(seconds["ours"]),
        "their_seconds": rounded(seconds["theirs"]),
        "our_ms_a_photo": round(1000 * min(seconds["ours"]) / len(photos), 1),
        "their_ms_a_photo": round(1000 * min(seconds["theirs"]) / len(photos), 1),
    }


# Ours


def _ours(folder: Path, name: str, limit: int | None = None) -> float:
    """Measure and score all photos into a store of their own; return the seconds of both tasks."""
    runtime = quiet_runtime(folder / f"store-{name}", lanes=cores())
    source = Source(root=folder / "photos", limit=limit)
    dataset, ledger = keep_dataset(source, runtime)
    making = Making(QualityRecipe(), {"content": ledger.content}, ledger.contents)
    return timed(lambda: _make(making, dataset, source, runtime))


def _make(making: Making, dataset: Artifact, source: Source, runtime: Runtime) -> None:
    store = ArtifactStore(runtime.store)
    recipe, native = QualityRecipe(), NoiseRecipe()
    with driving(store, making) as draft:
        for part in draft.pending() if draft else ():
            measure_part.fn(recipe, dataset, part=part, source=source, runtime=runtime)
        quality = seal(store, making.key)
    noise = Making(native, making.inputs, making.rows)
    with driving(store, noise) as draft:
        for part in draft.pending() if draft else ():
            measure_noise.fn(native, dataset, part=part, source=source, runtime=runtime)
        seal(store, noise.key)
    svm = BrisqueRecipe(backend="svm770", weights_sha256=sha256_of(SVM770, runtime))
    scoring = Making(svm, {"quality": making.key}, making.rows)
    with driving(store, scoring) as draft:
        for part in draft.pending() if draft else ():
            score_brisque.fn(svm, quality, part=part, weights=None, runtime=runtime)
        seal(store, scoring.key)


# Theirs


@contextmanager
def _shipped_vectors(folder: Path) -> Iterator[None]:
    """Let piq score by the support vectors that ship here, in float32, as it would by its own."""
    import piq
    import torch

    runtime = quiet_runtime(folder / "weights")
    recipe = BrisqueRecipe(backend="svm770", weights_sha256=sha256_of(SVM770, runtime))
    model = load_brisque(recipe, None, runtime)
    coefficients, vectors = (
        torch.from_numpy(array).float() for array in (model.coefficients[:, None], model.vectors)
    )

    def load(*_: Any, **__: Any) -> tuple[Any, Any]:
        return coefficients, vectors.clone()

    torch.set_num_threads(cores())
    assert piq.brisque
    with patch.object(sys.modules["piq.brisque"], "load_url", load):
        yield


def _theirs(path: Path) -> tuple[float, ...]:
    import cv2 as untyped

    cv2: Any = untyped
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    scale = 512 / max(grey.shape)
    size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
    preview = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    with ThreadPoolExecutor(3) as pool:
        futures: list[Future[tuple[float, ...]]] = [
            pool.submit(_sharpness_and_exposure, preview),
            pool.submit(_noise, preview),
            pool.submit(_brisque, colours),
        ]
        return tuple(value for future in futures for value in future.result())


def _sharpness_and_exposure(grey: Any) -> tuple[float, ...]:
    import cv2 as untyped

    cv2: Any = untyped
    across, down = (cv2.Sobel(grey, cv2.CV_64F, x, 1 - x, ksize=3) for x in (1, 0))
    energy = float(np.mean(across**2 + down**2))
    p1, p50, p99 = np.percentile(grey / 255, (1, 50, 99))
    score = 0.5 * (1 - 2 * abs(p50 - 0.5)) + 0.5 * (p99 - p1)
    return float(np.tanh(energy / 2000)), float(score)


def _noise(grey: Any) -> tuple[float, ...]:
    from skimage import restoration

    estimate: Any = restoration.estimate_sigma
    return (min(float(estimate(grey / 255)) / 0.08, 1.0),)


def _brisque(colours: Any) -> tuple[float, ...]:
    import piq
    import torch

    pixels = torch.from_numpy(colours).permute(2, 0, 1)[None].float() / 255
    return (1 - float(piq.brisque(pixels, data_range=1.0).clamp(0, 100)) / 100,)


if __name__ == "__main__":
    main("quality_speed", measure)
