"""Datasets: scan a source, keep its ledger, read the contents that the ledger lists."""

from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

from conf.dataset import DatasetRecipe, SourceSpec
from conf.keys import Recipe
from conf.machine import cores
from conf.runtime import Runtime
from storage.dataset import (
    ContentReader,
    Ledger,
    open_rows,
    read_ledger,
    scan,
    write_ledger,
)
from storage.drafts import Draft
from storage.hashes import Hashes
from storage.readers.pixels import decode
from storage.readers.protocol import Rows
from storage.store import Artifact, ArtifactStore
from tasks.declaring import look_task, part_task
from tasks.progress import advance_to, progress
from tasks.stopping import check_not_stopped

SCAN_THREADS = min(8, 2 * cores())


@look_task
def scan_source(source: SourceSpec, *, runtime: Runtime) -> Ledger:
    """Return the ledger of what `source` holds now; only new and changed files are opened.

    Never cached: the world is looked at in every run. What was learnt of each content is remembered
    in the store, also of a scan that was killed.
    """
    store = ArtifactStore(runtime.store)
    rows = open_rows(source, runtime.roots)
    name = f"scan {source.source}"

    def told(done: int, total: int) -> None:
        check_not_stopped()
        advance_to(name, done, total)

    with (
        Hashes(store.path / "hashes.sqlite") as hashes,
        progress(name, 0, unit="files", is_shown=runtime.progress),
    ):
        return scan(
            rows,
            hashes,
            threads=SCAN_THREADS,
            max_megapixels=source.max_megapixels,
            on_progress=told,
        )


@part_task
def keep_ledger(recipe: DatasetRecipe, *, ledger: Ledger, part: str, runtime: Runtime) -> int:
    """Seal `ledger` as the one part of its dataset, and return its number of rows."""
    check_not_stopped()
    draft = ArtifactStore(runtime.store).open_draft(recipe.key())
    with draft.write_part(part) as writer:
        write_ledger(ledger, writer.folder)
    return len(ledger)


@dataclass(frozen=True, eq=False)
class Contents:
    """The contents of a dataset, read from its source and checked against its ledger."""

    ledger: Ledger
    rows: Rows
    reader: ContentReader
    max_megapixels: float

    def image(self, sha256: str) -> Image.Image:
        """Return the upright RGB image whose bytes have this sha256.

        Raises ContentChanged or ContentGone when the source no longer has those bytes.
        """
        data = self.reader.read(sha256)
        return decode(data, max_megapixels=self.max_megapixels, formats=self.rows.formats)


@lru_cache(maxsize=4)
def open_contents(dataset: Artifact, source: SourceSpec, runtime: Runtime) -> Contents:
    """Return access to the contents of `dataset`; one process opens a dataset once."""
    ledger = read_ledger(ArtifactStore(runtime.store).path_of(dataset))
    rows = open_rows(source, runtime.roots)
    return Contents(ledger, rows, ContentReader(rows, ledger), source.max_megapixels)


def open_part(
    recipe: Recipe, dataset: Artifact, source: SourceSpec, runtime: Runtime
) -> tuple[Contents, Draft]:
    """Return access to the contents of `dataset`, and the draft that `recipe` makes of them.

    Raises Stopped where the run was asked to end.
    """
    check_not_stopped()
    contents = open_contents(dataset, source, runtime)
    key = recipe.key(content=contents.ledger.content)
    return contents, ArtifactStore(runtime.store).open_draft(key)
