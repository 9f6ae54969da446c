"""Diagnostics of features: read them with their labels and splits, and seal what is found."""

from collections.abc import Sequence

import numpy as np

from conf.diagnostics import DiagnosticsRecipe
from conf.keys import ArtifactKey
from conf.projection import VectorSource
from conf.runtime import Runtime
from storage.diagnostics import write_diagnostics
from storage.projection.maps import MapFiles
from storage.store import Artifact, ArtifactStore
from tasks.compute.diagnostics import Diagnostics, Rows, Settings, diagnose
from tasks.declaring import part_task
from tasks.projection.vectors import read_names, usable_vectors
from tasks.stopping import check_not_stopped

UNTOLD = "unspecified"


@part_task
def make_diagnostics(
    recipe: DiagnosticsRecipe,
    vectors: ArtifactKey,
    names: ArtifactKey,
    *,
    source: VectorSource,
    part: str,
    runtime: Runtime,
) -> int:
    """Seal the diagnostics of the vectors by what `names` says of their rows; return how many rows
    those are."""
    check_not_stopped()
    draft = ArtifactStore(runtime.store).open_draft(recipe.key(vectors=vectors, names=names))
    told = read_names(source, vectors, names, runtime)
    points, reasons = usable_vectors(source, vectors, runtime, unit=recipe.unit)
    numbers = np.flatnonzero([reason is None for reason in reasons])
    none: Sequence[str | None] = [None] * len(told.ids)
    kept = numbers.tolist()
    labels, label_names = coded([told.texts.get("label", none)[row] for row in kept])
    splits, split_names = coded([told.texts.get("split", none)[row] or UNTOLD for row in kept])
    rows = Rows(points, labels, label_names, splits, split_names, numbers)
    settings = Settings(**recipe.model_dump(exclude={"unit"}))
    found = diagnose(rows, settings)
    with draft.write_part(part) as writer:
        write_diagnostics(writer, found.as_json(), told.ids)
    return len(numbers)


def coded(
    values: Sequence[str | None],
) -> tuple["np.ndarray[tuple[int], np.dtype[np.int64]]", list[str]]:
    """Return a number for each value, -1 for None, and the values that they number, sorted."""
    names = sorted({value for value in values if value is not None})
    place = {name: at for at, name in enumerate(names)}
    return np.array([-1 if v is None else place[v] for v in values], np.int64), names


def open_diagnostics(store: ArtifactStore, artifact: Artifact) -> Diagnostics:
    """Return the diagnostics that an artifact holds."""
    return Diagnostics.from_json(MapFiles(store, artifact).facts)
