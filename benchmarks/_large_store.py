"""A store as large as a busy team's: many artifacts, and a dataset of many files.

Everything is made by the store's own functions. Features are toy vectors, and the decoder's verdict
on the files, which are all of one size, is written down instead of asked for.
"""

import hashlib
import os
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._making import TOY, image_making, image_recipe, keep_dataset, quiet_runtime
from conf.dataset import DatasetRecipe
from conf.labels import LabelRecipe, Preset
from conf.labels import Preset as LabelPreset
from conf.load import LoadedPreset
from conf.prompts import PromptRecipe, PromptSet
from conf.runtime import Runtime
from conf.sources.folder import Source
from storage.dataset import Ledger, probe_name, write_ledger
from storage.dataset.ledger import LedgerRow
from storage.drafts import Draft, Making
from storage.hashes import Hashes
from storage.images import write_part
from storage.publishing import driving, seal
from storage.readers.formats import IMAGE_FORMATS
from storage.readers.protocol import Stamp
from storage.remembered import Verdict
from storage.store import Artifact, ArtifactStore
from tasks.labels import label_images
from tasks.prompts import encode_prompts

WORDS = ("cell", "platelet", "smear", "stain")
_FILES_A_FOLDER = 1_000
_HOUR_SECONDS = 3600
_SMALL_ROWS = 4


@dataclass(frozen=True)
class LargeStore:
    """A store whose preset was run over all of `photos`."""

    photos: Path
    runtime: Runtime

    def preset(self, *words: str) -> LoadedPreset:
        """Return the preset `large`, said with other words perhaps."""
        settings: dict[str, Any] = {
            "source": {"source": "folder", "root": str(self.photos)},
            "model": TOY.model_dump(),
            "prompts": {"templates": ["a photo of {}"], "vocabulary": list(words or WORDS)},
        }
        return LoadedPreset(
            "large", "labels", "", LabelPreset.model_validate(settings), self.runtime
        )


def make_large_store(folder: Path, *, files: int, artifacts: int) -> LargeStore:
    """Return a store of `artifacts` artifacts below `folder`, four of them over `files` files."""
    large = LargeStore(folder / "photos", quiet_runtime(folder / "store"))
    store = ArtifactStore(large.runtime.store)
    add_files(large, 0, files)
    source = Source(root=large.photos)
    dataset, ledger = keep_dataset(source, large.runtime)
    images = _features(store, ledger, large.runtime, dataset)
    settings = large.preset().settings
    assert isinstance(settings, Preset)
    prompts, labels = _labels(store, settings, images, ledger, large.runtime)
    made = {"dataset": dataset, "features": images, "prompts": prompts, "labels": labels}
    for name, artifact in made.items():
        store.refs.set(f"large/{name}", artifact.key)
    for number in range((artifacts - len(made)) // 2):
        _add_small(store, number, large.runtime)
    return large


def add_files(large: LargeStore, first: int, count: int) -> None:
    """Write `count` images, each different, last changed an hour ago, and remember their hashes."""
    then_ns = time.time_ns() - _HOUR_SECONDS * 10**9
    probe = probe_name(IMAGE_FORMATS)
    with Hashes(_hashes_path(large.runtime)) as hashes:
        for number in range(first, first + count):
            place = large.photos / f"{number // _FILES_A_FOLDER:04d}" / f"{number:07d}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            data = _png(number)
            place.write_bytes(data)
            os.utime(place, ns=(then_ns, then_ns))
            sha256 = hashlib.sha256(data).hexdigest()
            stamp = Stamp(str(place), len(data), then_ns)
            hashes.remember(stamp, sha256, time.time_ns(), len(data))
            hashes.judge(sha256, probe, Verdict(1, 1, None))


def _hashes_path(runtime: Runtime) -> Path:
    ArtifactStore(runtime.store)  # makes the directory a store, which must be empty before
    return runtime.store / "hashes.sqlite"


def _png(number: int) -> bytes:
    """Return a PNG of one pixel, its number in a text chunk: each file has other bytes."""
    pixel = zlib.compress(b"\0" + struct.pack(">I", number)[1:])
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        (b"tEXt", b"number\0" + str(number).encode()),
        (b"IDAT", pixel),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _features(
    store: ArtifactStore, ledger: Ledger, runtime: Runtime, dataset: Artifact
) -> Artifact:
    making = image_making(image_recipe(TOY, runtime), ledger)
    random = np.random.default_rng(0)
    for draft, part in _driven(store, making, runtime):
        rows = draft.rows_of(part)
        with draft.write_part(part) as writer:
            vectors = random.standard_normal((len(rows), 32)).astype(np.float16)
            write_part(writer, rows, vectors, None, "toy")
    return seal(store, making.key, made={"dataset": dataset.key})


def _labels(
    store: ArtifactStore, settings: Preset, images: Artifact, ledger: Ledger, runtime: Runtime
) -> tuple[Artifact, Artifact]:
    prompts = _prompts(store, settings.prompts, runtime)
    recipe = LabelRecipe(top=settings.top)
    inputs = {"images": store.key_of(images), "prompts": store.key_of(prompts)}
    making = Making(recipe, inputs, ledger.contents)
    for _, part in _driven(store, making, runtime):
        label_images.fn(recipe, images, prompts, part=part, runtime=runtime)
    return prompts, seal(store, making.key)


def _prompts(store: ArtifactStore, words: PromptSet, runtime: Runtime) -> Artifact:
    recipe = PromptRecipe(model=image_recipe(TOY, runtime).model, prompts=words)
    making = Making(recipe, {}, words.vocabulary)
    for _, part in _driven(store, making, runtime):
        encode_prompts.fn(recipe, part=part, runtime=runtime)
    return seal(store, making.key)


def _add_small(store: ArtifactStore, number: int, runtime: Runtime) -> None:
    """Publish a dataset of a few rows and the features of its images, under names of their own."""
    shas = [hashlib.sha256(f"{number} {row}".encode()).hexdigest() for row in range(_SMALL_ROWS)]
    ledger = Ledger.of(
        [
            LedgerRow(f"{row}.png", sha, "unspecified", -1, None, "ok", None, 1, 1, 1)
            for row, sha in enumerate(shas)
        ]
    )
    recipe: DatasetRecipe = ledger.recipe
    making = Making(recipe, {}, ("ledger",))
    for draft, part in _driven(store, making, runtime):
        with draft.write_part(part) as writer:
            write_ledger(ledger, writer.folder)
    dataset = seal(store, making.key)
    store.refs.set(f"small-{number:04d}/dataset", dataset.key)
    features = _features(store, ledger, runtime, dataset)
    store.refs.set(f"small-{number:04d}/features", features.key)


def _driven(store: ArtifactStore, making: Making, runtime: Runtime) -> Iterator[tuple[Draft, str]]:
    with driving(store, making, take_over=False) as draft:
        for part in draft.pending() if draft else ():
            assert draft is not None
            yield draft, part
