"""The work that is killed: datasets and features through the very tasks that flows run."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from conf.images import ImageRecipe
from conf.runtime import Runtime
from storage.drafts import Making
from storage.publishing import driving
from storage.store import Artifact, ArtifactStore
from tasks.checkpoint import remember, seal
from tasks.dataset import keep_ledger, scan_source
from tasks.images import encode_part
from tasks.killtest.scene import PART_ROWS, Scene

Note = Callable[[str, str], None]
"""Told ("began", part), ("sealed", part) and ("published", key) as soon as each is so."""


def make_all(scene: Scene, store: Path, note: Note) -> None:
    """Make, or go on making, the datasets and features of `scene` in the store at `store`."""
    runtime = Runtime(
        store=store, part_rows=PART_ROWS, batch_size=2, lanes=2, device="cpu", progress=False
    )
    recipe = ImageRecipe(model=scene.model, tokens=True)
    for source in scene.sources:
        ledger = scan_source.fn(source, runtime=runtime)
        keep = partial(keep_ledger.fn, ledger.recipe, ledger=ledger, runtime=runtime)
        dataset = _make(Making(ledger.recipe, {}, ("ledger",)), keep, runtime, note)
        encode = partial(encode_part.fn, recipe, dataset, source=source, runtime=runtime)
        wanted = Making(recipe, {"content": ledger.content}, ledger.contents)
        _make(wanted, encode, runtime, note)


def _make(
    making: Making, make_part: Callable[..., object], runtime: Runtime, note: Note
) -> Artifact:
    with driving(ArtifactStore(runtime.store), making, part_rows=runtime.part_rows) as draft:
        for part in draft.pending() if draft else ():
            note("began", part)
            make_part(part=part)
            note("sealed", part)
        artifact: Artifact = seal.fn(making.recipe, making.inputs, runtime=runtime)
    note("published", artifact.key)
    remember(ArtifactStore(runtime.store), making.key)  # as the next run's seal will
    return artifact


@contextmanager
def notes_in(path: Path) -> Iterator[Note]:
    """Yield a `Note` that appends to `path`; a line that was written outlives the process."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield lambda event, name: _append(descriptor, f"{event} {name}\n")
    finally:
        os.close(descriptor)


def _append(descriptor: int, line: str) -> None:
    os.write(descriptor, line.encode())


def read_notes(path: Path) -> list[tuple[str, str]]:
    """Return what was noted in `path`: (event, name), oldest first."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [(event, name) for event, _, name in (line.partition(" ") for line in lines)]
