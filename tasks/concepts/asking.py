"""Questions to a concept store that no model is needed for: search, duplicates, explanations."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from conf.errors import RecipeError, did_you_mean
from storage.concepts import ConceptFile, ConceptScores, ConceptStore, Probe
from storage.concepts.file import Array
from storage.concepts.probe import open_probe
from storage.store import Artifact, ArtifactStore
from tasks.compute.concepts import contributions, near_pairs, nearest_rows
from tasks.compute.norms import unit_rows
from tasks.concepts.scoring import ensemble_vectors, probe_inputs


@dataclass(frozen=True)
class Hit:
    """An image that a search found."""

    row: int
    name: str
    label: int
    split: str
    cosine: float


@dataclass(frozen=True)
class Twins:
    """Two rows of different splits with the same or nearly the same image."""

    row: int
    other: int
    names: tuple[str, str]
    splits: tuple[str, str]
    cosine: float
    exact: bool
    """Whether the bytes of both are the same."""


@dataclass(frozen=True)
class Explanation:
    """What a probe says of one image, and which concepts spoke for and against."""

    name: str
    label: int
    predicted: int
    predicted_name: str
    probability: float
    speaks_for: tuple[tuple[str, float], ...]
    """Concept and what it adds to the logit, most first."""
    speaks_against: tuple[tuple[str, float], ...]


def search_text(store: ConceptFile, text: str, top: int = 10) -> list[Hit]:
    """Return the images that fit best a concept, a label or a prompt that the store has.

    A concept or label is the ensemble of all its templates. Raises RecipeError for a text that is
    not in the store: a new one has to be encoded first (`search_vectors`).
    """
    return search_vectors(store, stored_vector(store, text), top)


def stored_vector(store: ConceptFile, text: str) -> Array:
    """Return (1, D) for a concept, a label or a prompt of the store; raises RecipeError."""
    known: set[str] = set()
    for prefix in ("concept_prompts", "label_prompts", ""):
        names = store.template_names(prefix)
        if not names:
            continue
        templates = store.templates(prefix)
        for one in templates.values():
            known |= {*one.names, *one.texts}
            if text in one.texts:
                return unit_rows(one.features[[one.texts.index(text)]].astype(np.float32))
        first = next(iter(templates.values()))
        if text in first.names and len({one.names for one in templates.values()}) == 1:
            return ensemble_vectors(templates)[[first.names.index(text)]]
    raise RecipeError(
        f"{store.name} has no concept, label or prompt {text!r}. {_nearest(text, known)} A text of "
        "your own needs the model: search a store that a run made, with --encode."
    )


def _nearest(text: str, known: set[str]) -> str:
    told = did_you_mean(text, known)
    return told if len(told) < 300 else "`featuremill concepts fetch` lists what there is."


def search_image(store: ConceptFile, image: str, top: int = 10) -> list[Hit]:
    """Return the images that are nearest to one of the store, itself left out."""
    row = store.row_named(image)
    vector = unit_rows(store.features([row]).astype(np.float32))
    found = search_vectors(store, vector, top + 1)
    return [hit for hit in found if hit.row != row][:top]


def search_vectors(store: ConceptFile, vector: Array, top: int = 10) -> list[Hit]:
    """Return the images nearest to a unit vector (1, D), best first, by exact cosine."""
    found = nearest_rows(vector, store.blocks(), top)
    batch = store.batch(None, found.rows[0])
    return [
        Hit(int(row), store.names[row], int(label), split, float(cosine))
        for row, label, split, cosine in zip(
            found.rows[0], batch.labels, batch.splits, found.cosines[0], strict=True
        )
    ]


def duplicates(store: ConceptFile, least_cosine: float = 0.99) -> list[Twins]:
    """Return pairs of rows in different splits whose images are the same, or nearly so.

    Exact ones have the same bytes, near ones a cosine of `least_cosine` or more. Exact pairs come
    first, then near ones, nearest first.
    """
    splits = store.column("split").tolist()
    exact = {pair: 1.0 for pair in _same_bytes(store, splits)}
    groups = np.unique(np.asarray(splits, dtype=str), return_inverse=True)[1].astype(np.int64)
    pairs = near_pairs(store.features, groups, least_cosine)
    near = {(one, two): cosine for one, two, cosine in pairs}
    names = store.names
    twins = [
        Twins(
            one, two, (names[one], names[two]), (splits[one], splits[two]), cosine,
            (one, two) in exact,
        )
        for (one, two), cosine in (near | exact).items()
    ]  # fmt: skip
    return sorted(twins, key=lambda pair: (not pair.exact, -pair.cosine, pair.row))


def _same_bytes(store: ConceptFile, splits: list[str]) -> list[tuple[int, int]]:
    try:
        contents = store.contents
    except RecipeError:  # a file of one's own knows no contents: near pairs are all that is left
        return []
    rows: dict[str, list[int]] = defaultdict(list)
    for row, content in enumerate(contents):
        rows[content].append(row)
    return [
        (one, two)
        for same in rows.values()
        for place, one in enumerate(same)
        for two in same[place + 1 :]
        if splits[one] != splits[two]
    ]


def explain(
    store: ConceptStore, scores: ConceptScores, probe: Probe, image: str, top: int = 5
) -> Explanation:
    """Return what `probe` says of an image, and the concepts that spoke most for and against it.

    The logit of a class is the sum of what all concepts add, and the intercept.
    """
    row = store.row_named(image)
    given = probe_inputs(store, scores, [store.contents[row]])
    added = contributions(given, probe.weights, probe.center, probe.spread)[0]
    logits = added.sum(axis=1) + probe.intercept
    best = int(logits.argmax())
    shares = np.exp(logits - logits.max())
    told = sorted(zip(probe.concepts, added[best].tolist(), strict=True), key=lambda one: -one[1])
    return Explanation(
        store.names[row],
        int(store.column("labels")[row]),
        int(probe.classes[best]),
        probe.class_names[best],
        float(shares[best] / shares.sum()),
        tuple(one for one in told if one[1] > 0)[:top],
        tuple(one for one in reversed(told) if one[1] < 0)[:top],
    )


def of_store(store: ArtifactStore, concepts: Artifact, kind: str) -> Artifact:
    """Return the newest artifact of `kind` that was made of a concept store; raises RecipeError."""
    found = [
        (str(store.manifest(key).made.get("at", "")), key)
        for key in store.published()
        if key.kind == kind and concepts.key in store.manifest(key).inputs.values()
    ]
    artifact = store.find(max(found)[1]) if found else None
    if artifact is None:
        raise RecipeError(
            f"{concepts.key} has no {kind}. Its preset makes one: `featuremill run` it again"
            f"{', with a [probe] section' if kind == 'concept-probe' else ''}."
        )
    return artifact


def probe_of(store: ArtifactStore, concepts: Artifact) -> tuple[ConceptScores, Probe]:
    """Return the newest probe of a concept store, and the scores that it was fitted on."""
    probe = of_store(store, concepts, "concept-probe")
    scores = store.resolve(store.manifest(probe.key).inputs["scores"])
    return ConceptScores(store, scores), open_probe(store, probe)
