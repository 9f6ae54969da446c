"""Diagnostics of features: what decides them."""

from typing import ClassVar

from pydantic import Field

from conf.keys import Recipe


class DiagnosticsRecipe(Recipe):
    """What features know of their labels, of the inputs `vectors` and `names`."""

    kind: ClassVar[str] = "feature-diagnostics"

    neighbours: int = Field(default=10, ge=1)
    """How many vote."""
    folds: int = Field(default=5, ge=2)
    """Of the probe on the reference split, whose rows are judged by a probe that never saw them."""
    probe_rows: int = Field(default=10_000, ge=10)
    """Most rows that a probe learns from."""
    judged_rows: int = Field(default=5_000, ge=10)
    """Most rows of a split that are voted on, and of all rows that a silhouette is of."""
    least_cosine: float = Field(default=0.99, gt=0, le=1)
    """From where rows of different splits count as twins."""
    most_listed: int = Field(default=200, ge=1)
    """Twins and doubtful labels are counted whole; so many are listed."""
    unit: bool = False
    """Whether vectors are scaled to length 1 first."""
    seed: int = Field(default=0, ge=0)
