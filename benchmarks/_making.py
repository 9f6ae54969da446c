"""Artifacts made by the real tasks, called without a server."""

import inspect
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.utilities.annotations import quote

from conf.dataset import SourceSpec
from conf.images import ImageRecipe
from conf.keys import held_rows
from conf.models import ModelSpec
from conf.runtime import Runtime
from flows.run import PLANNER, Made, Run
from storage.dataset import Ledger
from storage.drafts import Draft, Making
from storage.images import row_bytes
from storage.publishing import driving, seal
from storage.store import Artifact, ArtifactStore
from tasks.dataset import keep_ledger, scan_source
from tasks.images import encode_part
from tasks.models.load import resolve

TOY = ModelSpec(family="toy", precision="fp32")
POCKET = ModelSpec(family="pocket", precision="fp32")
_OPTIONS = {
    name
    for name, parameter in inspect.signature(Run.making).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
}
"""What `Run.making` keeps to itself; all else is for the tasks."""


def quiet_runtime(store: Path, **settings: int) -> Runtime:
    """Return a runtime on the CPU, with its store at `store` and no progress bars."""
    return Runtime(store=store, device="cpu", progress=False, **settings)  # type: ignore[arg-type]


def image_recipe(model: ModelSpec, runtime: Runtime, *, tokens: bool = False) -> ImageRecipe:
    """Return the recipe of features by `model`, its weights and library named exactly."""
    return ImageRecipe(model=resolve(model, runtime), tokens=tokens)


def keep_dataset(source: SourceSpec, runtime: Runtime) -> tuple[Artifact, Ledger]:
    """Scan `source` and return its published ledger."""
    store = ArtifactStore(runtime.store)
    ledger = scan_source.fn(source, runtime=runtime)
    making = Making(ledger.recipe, {}, ("ledger",))
    with driving(store, making) as draft:
        for part in draft.pending() if draft else ():
            keep_ledger.fn(ledger.recipe, ledger=ledger, part=part, runtime=runtime)
    return seal(store, making.key), ledger


def image_making(recipe: ImageRecipe, ledger: Ledger) -> Making:
    """Return the making of the features of all ok contents of `ledger`."""
    inputs = {"content": ledger.content}
    return Making(recipe, inputs, ledger.contents, row_bytes=row_bytes(recipe))


@contextmanager
def image_draft(recipe: ImageRecipe, ledger: Ledger, runtime: Runtime) -> Iterator[Draft]:
    """Drive the making of features that are not published yet, and yield its draft."""
    making = image_making(recipe, ledger)
    with driving(ArtifactStore(runtime.store), making, part_rows=runtime.part_rows) as draft:
        if draft is None:
            raise RuntimeError(f"{making.key} is published: there is nothing left to measure.")
        yield draft


def encode_parts(
    recipe: ImageRecipe,
    dataset: Artifact,
    source: SourceSpec,
    runtime: Runtime,
    parts: Iterable[str],
) -> float:
    """Make `parts`, one after the other, and return the seconds from first batch to last marker."""
    began = time.perf_counter()
    for part in parts:
        encode_part.fn(recipe, dataset, part=part, source=source, runtime=runtime)
    return time.perf_counter() - began


class PlainRun(Run):
    """A run whose tasks are called one by one in this thread: it needs no Prefect server."""

    def look(self, task: Any, *arguments: Any) -> Any:
        """Return what `task` finds."""
        return task.fn(*arguments, runtime=self.runtime)

    @contextmanager
    def making(
        self, name: str, making: Making, part_task: Any, *inputs: Any, **given: Any
    ) -> Iterator[Artifact]:
        """Yield the artifact of `making`, as `Run.making` does."""
        if PLANNER.get():
            with super().making(name, making, part_task, *inputs, **given) as foreseen:
                yield foreseen
            return
        began, rows, place = time.perf_counter(), 0, len(self.made)
        places = {n: _unquoted(value) for n, value in given.items() if n not in _OPTIONS}
        with driving(self.store, making, part_rows=self.runtime.part_rows) as draft:
            for part in draft.pending() if draft else ():
                part_task.fn(making.recipe, *inputs, part=part, runtime=self.runtime, **places)
                rows += len(draft.rows_of(part)) if draft else 0
            yield self.store.handle(making.key, held_rows(making.recipe, len(making.rows)))
            artifact = seal(self.store, making.key, made=given.get("made"))
        self.store.refs.set(f"{self.name}/{name}", artifact.key)
        state, seconds = "Completed" if draft else "Cached", time.perf_counter() - began
        made = held_rows(making.recipe, rows)
        self.made.insert(place, Made(name, artifact, state, made, seconds))


def _unquoted(value: Any) -> Any:
    return value.unquote() if isinstance(value, quote) else value
