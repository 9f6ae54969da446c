"""All diagnostics of one set of features."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from tasks.compute.diagnostics.doubts import doubted
from tasks.compute.diagnostics.nearness import nearest, silhouettes, twins, unit, vote
from tasks.compute.diagnostics.probe import choose_penalty, fit_probe, out_of_fold
from tasks.compute.diagnostics.report import Diagnostics, Leak, Share, SplitScore, Suspect
from tasks.compute.projection.pca import fit_pca

_PROBE_DIMS = 256
"""A probe works on so many principal components at most: it stays linear, and quick."""


@dataclass(frozen=True)
class Settings:
    """How much is looked at: see `conf.diagnostics.DiagnosticsRecipe`."""

    neighbours: int = 10
    folds: int = 5
    probe_rows: int = 10_000
    judged_rows: int = 5_000
    least_cosine: float = 0.99
    most_listed: int = 200
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Rows:
    """Features with what is said of them."""

    vectors: Float32[np.ndarray, "rows dim"]
    labels: Int64[np.ndarray, " rows"]
    """Places in `label_names`; -1 is missing."""
    label_names: Sequence[str]
    splits: Int64[np.ndarray, " rows"]
    split_names: Sequence[str]
    numbers: Int64[np.ndarray, " rows"]
    """By which the findings name rows."""


@dataclass(frozen=True, eq=False)
class _Scene:
    rows: Rows
    settings: Settings
    units: Float32[np.ndarray, "rows dim"]
    reference: int
    draw: np.random.Generator
    notes: list[str] = field(default_factory=list)

    def sample(self, chosen: Int64[np.ndarray, " chosen"], most: int) -> Int64[np.ndarray, " some"]:
        if len(chosen) <= most:
            return chosen
        return np.sort(self.draw.choice(chosen, most, replace=False))


def diagnose(rows: Rows, settings: Settings = Settings()) -> Diagnostics:
    """Return what the features know of the labels, which rows leak, and which labels to doubt.

    The rows of split `train`, or of the largest split where there is none, are the reference that
    every row is judged by; a row itself never has a say. What cannot be known is None, with the
    reason.
    """
    sizes = np.bincount(rows.splits, minlength=len(rows.split_names))
    names = [
        name.lower() if size else "" for name, size in zip(rows.split_names, sizes, strict=True)
    ]
    reference = names.index("train") if "train" in names else int(sizes.argmax())
    draw = np.random.default_rng(settings.seed)
    # Nothing here depends on the scale, and squares of very large numbers would overflow.
    largest = np.abs(rows.vectors).max(initial=0)
    rows = replace(rows, vectors=rows.vectors / largest if largest > 0 else rows.vectors)
    scene = _Scene(rows, settings, unit(rows.vectors), reference, draw)
    votes, k = _votes(scene)
    known, probabilities = _probed(scene)
    scores = tuple(
        _score(scene, split, votes, known, probabilities)
        for split in np.flatnonzero(sizes).tolist()
    )
    suspects, doubts = _suspects(scene, known, probabilities)
    leaks, leak_count = _leaks(scene)
    return Diagnostics(
        rows=len(rows.numbers),
        neighbours=k,
        reference=rows.split_names[reference],
        splits=scores,
        silhouette=_silhouette(scene),
        leaks=leaks,
        leak_count=leak_count,
        suspects=suspects,
        suspect_count=doubts,
        notes=tuple(scene.notes),
    )


def share(values: Float64[np.ndarray, " counted"] | Bool[np.ndarray, " counted"]) -> Share | None:
    """Return the mean of `values` with its standard error; None of none."""
    if not len(values):
        return None
    exact = np.asarray(values, np.float64)
    error = float(exact.std(ddof=1) / np.sqrt(len(exact))) if len(exact) > 1 else 0.0
    return Share(float(exact.mean()), error, len(exact))


def _votes(scene: _Scene) -> tuple[dict[int, Bool[np.ndarray, " judged"]], int]:
    """Return, of each split, which of its judged rows are voted rightly; and how many vote."""
    rows, settings = scene.rows, scene.settings
    labelled = rows.labels >= 0
    known = np.flatnonzero(labelled & (rows.splits == scene.reference))
    k = min(settings.neighbours, len(known) - 1)
    found: dict[int, Bool[np.ndarray, " judged"]] = {}
    if k < 1:
        return found, settings.neighbours
    if k < settings.neighbours:
        scene.notes.append(f"{k} neighbours vote: there are no more labelled rows to ask")
    for split in np.unique(rows.splits):
        every = np.flatnonzero(labelled & (rows.splits == split))
        asked = scene.sample(every, settings.judged_rows)
        if len(asked):
            voted = vote(nearest(scene.units, asked, known, k), rows.labels, len(rows.label_names))
            found[int(split)] = voted == rows.labels[asked]
    return found, k


def _probed(
    scene: _Scene,
) -> tuple[Int64[np.ndarray, " probed"], Float64[np.ndarray, "probed classes"]]:
    """Return the rows that a probe, which has not seen them, has judged, and its probabilities.

    None where fewer than two labels of the reference have a row for every fold.
    """
    rows, settings = scene.rows, scene.settings
    inside = (rows.splits == scene.reference) & (rows.labels >= 0)
    counts = np.bincount(rows.labels[inside], minlength=len(rows.label_names))
    enough = counts >= settings.folds
    few = int(((counts > 0) & ~enough).sum())
    if few:
        which = "label has" if few == 1 else "labels have"
        scene.notes.append(f"{few} {which} fewer rows than {settings.folds}: no probe learns them")
    count = len(rows.label_names)
    if enough.sum() < 2:
        return np.empty(0, np.int64), np.empty((0, count))
    usable = (rows.labels >= 0) & enough[np.maximum(rows.labels, 0)]
    taught = scene.sample(np.flatnonzero(usable & inside), settings.probe_rows)
    left = np.bincount(rows.labels[taught], minlength=count) >= settings.folds
    taught = taught[left[rows.labels[taught]]]
    known = np.flatnonzero(usable & left[np.maximum(rows.labels, 0)])
    vectors = _reduced(rows.vectors, taught)
    classes = np.flatnonzero(left)
    code = np.full(count, -1, np.int64)
    code[classes] = np.arange(len(classes))
    taught_codes = code[rows.labels[taught]]
    folds, seed = settings.folds, settings.seed
    penalty = choose_penalty(vectors[taught], taught_codes, len(classes), folds=folds, seed=seed)
    probabilities = np.zeros((len(rows.labels), count))
    others = np.setdiff1d(known, taught)
    if len(others):
        probe = fit_probe(vectors[taught], taught_codes, len(classes), penalty=penalty)
        probabilities[np.ix_(others, classes)] = probe.probabilities(vectors[others])
    probabilities[np.ix_(taught, classes)] = out_of_fold(
        vectors[taught], taught_codes, len(classes), penalty=penalty, folds=folds, seed=seed
    )
    return known, probabilities[known]


def _reduced(
    vectors: Float32[np.ndarray, "rows dim"], taught: Int64[np.ndarray, " taught"]
) -> Float32[np.ndarray, "rows kept"]:
    if vectors.shape[1] <= _PROBE_DIMS:
        return vectors
    return fit_pca(vectors[taught], _PROBE_DIMS).scores(vectors)


def _score(
    scene: _Scene,
    split: int,
    votes: dict[int, Bool[np.ndarray, " judged"]],
    known: Int64[np.ndarray, " probed"],
    probabilities: Float64[np.ndarray, "probed classes"],
) -> SplitScore:
    rows = scene.rows
    inside = rows.splits == split
    labels = rows.labels[inside & (rows.labels >= 0)]
    here = rows.splits[known] == split
    right = probabilities[here].argmax(axis=1) == rows.labels[known[here]] if here.any() else None
    majority = float(np.bincount(labels).max() / len(labels)) if len(labels) else None
    voted = votes.get(split)
    return SplitScore(
        split=rows.split_names[split],
        rows=int(inside.sum()),
        labelled=len(labels),
        majority=majority,
        neighbours=None if voted is None else share(voted),
        probe=None if right is None else share(right),
        why=_why(scene, len(labels), voted is None, right is None),
    )


def _why(scene: _Scene, labelled: int, no_vote: bool, no_probe: bool) -> str | None:
    if not labelled:
        return "no row has a label"
    name = scene.rows.split_names[scene.reference]
    if no_vote:
        return f"{name} has no other labelled row to ask"
    if no_probe:
        return (
            f"no probe: {name} needs two labels with {scene.settings.folds} rows each, "
            "and this split a row of one of them"
        )
    return None


def _silhouette(scene: _Scene) -> Share | None:
    rows = scene.rows
    labelled = np.flatnonzero(rows.labels >= 0)
    if len(np.unique(rows.labels[labelled])) < 2:
        return None
    everyone = np.arange(len(labelled), dtype=np.int64)
    asked = scene.sample(everyone, scene.settings.judged_rows)
    return share(silhouettes(rows.vectors[labelled], rows.labels[labelled], asked))


def _suspects(
    scene: _Scene,
    known: Int64[np.ndarray, " probed"],
    probabilities: Float64[np.ndarray, "probed classes"],
) -> tuple[tuple[Suspect, ...], int]:
    rows, settings = scene.rows, scene.settings
    if not len(known):
        return (), 0
    found = doubted(probabilities, rows.labels[known])
    listed = found.rows[: settings.most_listed]
    at = known[listed]
    everyone = np.flatnonzero(rows.labels >= 0)
    k = min(settings.neighbours, len(everyone) - 1)
    near = nearest(scene.units, at, everyone, k)
    agreeing = (rows.labels[near] == rows.labels[at][:, None]).mean(axis=1)
    told = tuple(
        Suspect(
            row=int(rows.numbers[row]),
            label=rows.label_names[rows.labels[row]],
            suggested=rows.label_names[other],
            label_probability=float(chances[rows.labels[row]]),
            suggested_probability=float(chances[other]),
            agreeing=float(agrees),
        )
        for row, other, chances, agrees in zip(
            at, found.suggested, probabilities[listed], agreeing, strict=False
        )
    )
    return told, len(found.rows)


def _leaks(scene: _Scene) -> tuple[tuple[Leak, ...], int]:
    rows, settings = scene.rows, scene.settings
    outside = np.flatnonzero(rows.splits != scene.reference)
    if not len(outside):
        return (), 0
    asked = scene.sample(outside, 4 * settings.judged_rows)
    if len(asked) < len(outside):
        scene.notes.append(
            f"{len(asked):,} of {len(outside):,} rows outside the reference were looked at for "
            "twins in other splits"
        )
    found = twins(
        scene.units, rows.splits, asked,
        least=settings.least_cosine, most=settings.most_listed,
    )  # fmt: skip
    told = tuple(
        Leak(
            row=int(rows.numbers[one]),
            other=int(rows.numbers[other]),
            split=rows.split_names[rows.splits[one]],
            other_split=rows.split_names[rows.splits[other]],
            cosine=float(cosine),
        )
        for (one, other), cosine in zip(found.pairs.tolist(), found.cosines.tolist(), strict=True)
    )
    return told, found.total
