"""Columns of other artifacts, labels and scores, joined to the rows of a map by their contents."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from conf.errors import RecipeError, did_you_mean
from storage.concepts import ConceptScores
from storage.open import open_artifact
from storage.store import Artifact, ArtifactStore

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]

_CONTENT = "content_sha256"
_MOST = 24
"""Concepts that have a column of their own: those whose scores vary most."""
JOINED = (
    "image-labels", "concept-scores", "photo-quality", "photo-noise", "photo-brisque",
    "photo-clip-iqa", "photo-clip-iqa-piq",
)  # fmt: skip
"""Kinds that tell of contents, a line or a few for each."""


def check_joins(artifacts: Sequence[Artifact]) -> None:
    """Raise RecipeError for an artifact that has no columns that a map could be coloured by."""
    for artifact in artifacts:
        if artifact.kind not in JOINED:
            raise RecipeError(
                f"{artifact.key} has no columns to colour a map by: they are taken of "
                f"{', '.join(JOINED)}. {did_you_mean(artifact.kind, JOINED)}"
            )


def joined_columns(
    store: ArtifactStore, artifacts: Sequence[Artifact], contents: Sequence[str | None]
) -> tuple[dict[str, list[str | None]], dict[str, Array]]:
    """Return the columns of `artifacts` for the rows of `contents`: texts, and float32 numbers.

    They are called `kind: column`. A content that an artifact does not tell of is None or NaN.
    """
    texts: dict[str, list[str | None]] = {}
    numbers: dict[str, Array] = {}
    for artifact in artifacts:
        rows = _frame(store, artifact).reindex(list(contents))
        for column in rows.columns:
            name = _free(f"{artifact.kind}: {column}", {*texts, *numbers})
            if rows[column].dtype.kind in "fiub":
                numbers[name] = rows[column].to_numpy(np.float32, na_value=np.nan)
            else:
                texts[name] = [value if isinstance(value, str) else None for value in rows[column]]
    return texts, numbers


def _free(name: str, taken: set[str]) -> str:
    """Return `name`, with a number where another artifact of the kind has it already."""
    at, free = 1, name
    while free in taken:
        at, free = at + 1, f"{name} ({at + 1})"
    return free


def _frame(store: ArtifactStore, artifact: Artifact) -> "pd.DataFrame":
    """Return the columns that can be looked at as colours, a row a content."""
    found = open_artifact(artifact, store)
    if isinstance(found, ConceptScores):
        return _concepts(found.frame())
    table = found[found["rank"] == 1].drop(columns="rank") if "rank" in found else found
    rows: pd.DataFrame = table.drop_duplicates(_CONTENT).set_index(_CONTENT)
    return rows[list(_shown(rows))]


def _shown(rows: "pd.DataFrame") -> Iterator[str]:
    """Yield the columns of numbers and of texts; what is a list or why a value is missing is
    neither."""
    for name in rows.columns:
        known = rows[name].dropna()
        number = rows[name].dtype.kind in "fiub"
        if len(known) and name != "reason" and (number or isinstance(known.iloc[0], str)):
            yield name


def _concepts(scores: "pd.DataFrame") -> "pd.DataFrame":
    """Return the highest scored concept of each content, its score, and the scores that vary
    most."""
    spread = np.argsort(-scores.to_numpy().std(axis=0), kind="stable")[:_MOST]
    shown = scores.iloc[:, np.sort(spread)].copy()
    shown.insert(0, "highest concept", scores.columns[scores.to_numpy().argmax(axis=1)])
    shown.insert(1, "highest score", scores.to_numpy().max(axis=1))
    return shown
