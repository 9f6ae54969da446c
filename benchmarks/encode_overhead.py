"""What decoding, preprocessing, checking and sealing cost beside the model's own arithmetic.

Ours: the real task, from JPEG files to the last marker. Against it: the same model in a bare loop
over batches that are decoded and preprocessed already; of two such loops, the faster one.
"""

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks._harness import Figures, alternate, main, rounded, timed
from benchmarks._images import write_photos
from benchmarks._making import (
    POCKET,
    TOY,
    encode_parts,
    image_draft,
    image_recipe,
    keep_dataset,
    quiet_runtime,
)
from conf.dataset import SourceSpec
from conf.images import ImageRecipe
from conf.models import ModelSpec
from conf.runtime import Runtime
from conf.sources.folder import Source
from storage.dataset import Ledger
from storage.store import Artifact
from tasks.dataset import open_contents
from tasks.lanes import spans
from tasks.models.load import enter_lane, load_encoder
from tasks.models.protocols import Float32, ImageTextEncoder

_SIZE_PX = (640, 480)
_CLIP = ModelSpec(family="open_clip", name="ViT-B-32", weights="random:0", precision="fp32")
_ROWS, _SMALL_ROWS = 512, 24
_ROUNDS = 3
_LANES = 2


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the ratio of throughput, ours to the faster bare loop, for open_clip and pocket."""
    rows = _SMALL_ROWS if small else _ROWS
    write_photos(folder / "photos", rows, _SIZE_PX, max_bytes=1 << 20)
    write_photos(folder / "light", rows, _SIZE_PX, max_bytes=120_000)
    clip, pocket_model = (TOY, TOY) if small else (_CLIP, POCKET)
    main_side = _compare(folder, "photos", clip, rounds=1 if small else _ROUNDS)
    pocket = _compare(folder, "light", pocket_model, rounds=1 if small else _ROUNDS)
    return {
        **main_side,
        "unit": "images/s of the task / images/s of the faster bare loop",
        **{f"pocket_{name}": figure for name, figure in pocket.items()},
    }


def _compare(folder: Path, photos: str, model: ModelSpec, rounds: int) -> Figures:
    runtime = quiet_runtime(folder / "store", lanes=_LANES)
    recipe = image_recipe(model, runtime)
    source = Source(root=folder / photos)
    dataset, ledger = keep_dataset(source, runtime)
    encoder = load_encoder(recipe.model, runtime)
    batches = _batches(encoder, dataset, source, runtime, ledger.contents)
    encoder.encode_images(batches[0])  # what a process does once is nobody's overhead
    cpu = _CpuSeconds()
    sides = {
        "ours": cpu.of("ours", lambda: _ours(recipe, dataset, ledger, source, runtime)),
        "two_threads": cpu.of("two_threads", lambda: timed(lambda: _one_loop(encoder, batches))),
        "two_lanes": cpu.of("two_lanes", lambda: timed(lambda: _two_lanes(encoder, batches))),
    }
    seconds = alternate(sides, rounds)
    return _figures(seconds, cpu, len(ledger.contents), _mean_bytes(ledger))


class _CpuSeconds:
    """Seconds of all cores together, by side: on a busy machine they vary less than the clock's."""

    def __init__(self) -> None:
        self.medians: dict[str, float] = {}

    def of(self, name: str, side: Callable[[], float]) -> Callable[[int], float]:
        taken: list[float] = []

        def measured(_: int) -> float:
            began = time.process_time()
            seconds = side()
            taken.append(time.process_time() - began)
            self.medians[name] = median(taken)
            return seconds

        return measured


def _figures(
    seconds: dict[str, list[float]], cpu: _CpuSeconds, rows: int, mean_bytes: int
) -> Figures:
    bare = [min(pair) for pair in zip(seconds["two_threads"], seconds["two_lanes"], strict=True)]
    ratios = [theirs / ours for theirs, ours in zip(bare, seconds["ours"], strict=True)]
    bare_cpu = min(cpu.medians["two_threads"], cpu.medians["two_lanes"])
    return {
        "ratio": round(median(ratios), 3),
        "best_ratio": round(min(bare) / min(seconds["ours"]), 3),
        "seconds": round(median(seconds["ours"]), 3),
        "bare_seconds": round(median(bare), 3),
        "images_per_second": round(rows / median(seconds["ours"]), 2),
        "cpu_ratio": round(bare_cpu / cpu.medians["ours"], 3),
        "cpu_seconds": round(cpu.medians["ours"], 3),
        "bare_cpu_seconds": round(bare_cpu, 3),
        "rows": rows,
        "mean_file_bytes": mean_bytes,
        "all_ratios": rounded(ratios),
        **{f"all_{name}_seconds": rounded(taken) for name, taken in seconds.items()},
    }


def _ours(
    recipe: ImageRecipe, dataset: Artifact, ledger: Ledger, source: SourceSpec, runtime: Runtime
) -> float:
    """Return the seconds of the real task, part by part; the draft is thrown away afterwards."""
    with image_draft(recipe, ledger, runtime) as draft:
        seconds = encode_parts(recipe, dataset, source, runtime, draft.pending())
        assert not draft.pending()
        shutil.rmtree(draft.path)
    return seconds


def _one_loop(encoder: ImageTextEncoder, batches: Sequence[Float32]) -> None:
    """One thread hands over the batches; torch computes each with all cores."""
    enter_lane("cpu", lanes=1)
    for batch in batches:
        encoder.encode_images(batch)


def _two_lanes(encoder: ImageTextEncoder, batches: Sequence[Float32]) -> None:
    """Two threads hand over batches; torch computes each with its share of the cores."""
    waiting = iter(batches)
    taking = threading.Lock()

    def take() -> Float32 | None:
        with taking:
            return next(waiting, None)

    def lane() -> None:
        enter_lane("cpu", lanes=_LANES)
        while (batch := take()) is not None:
            encoder.encode_images(batch)

    _together(lane)


def _together(lane: Callable[[], None]) -> None:
    threads = [threading.Thread(target=lane) for _ in range(_LANES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _batches(
    encoder: ImageTextEncoder,
    dataset: Artifact,
    source: SourceSpec,
    runtime: Runtime,
    contents: Sequence[str],
) -> list[Float32]:
    reader = open_contents(dataset, source, runtime)
    return [
        np.stack([encoder.preprocess(reader.image(content)) for content in contents[span]])
        for span in spans(len(contents), runtime.batch_size)
    ]


def _mean_bytes(ledger: Ledger) -> int:
    sizes = [size for size in ledger.size_bytes if size is not None]
    return round(sum(sizes) / len(sizes))


if __name__ == "__main__":
    main("encode_overhead", measure)
