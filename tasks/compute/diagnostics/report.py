"""What is known of the features themselves, without any map."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Share:
    """A share or a mean of `counted` rows, with its standard error."""

    value: float
    standard_error: float
    counted: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.standard_error:.3f}"


@dataclass(frozen=True)
class SplitScore:
    """How well labels follow from features in one split; None with the reason where unknown."""

    split: str
    rows: int
    labelled: int
    majority: float | None
    """The share of the commonest label: what guessing reaches."""
    neighbours: Share | None
    """Accuracy of a vote of the nearest reference rows; of the reference split, leave one out."""
    probe: Share | None
    """Accuracy of a linear probe on the reference rows; of the reference split, out of fold."""
    why: str | None = None


@dataclass(frozen=True)
class Leak:
    """Two rows of different splits that are the same, or nearly so."""

    row: int
    other: int
    split: str
    other_split: str
    cosine: float


@dataclass(frozen=True)
class Suspect:
    """A row whose label the others contradict."""

    row: int
    label: str
    suggested: str
    label_probability: float
    """Out of fold, as the next."""
    suggested_probability: float
    agreeing: float
    """The share of its nearest neighbours that bear its label."""


@dataclass(frozen=True)
class Diagnostics:
    """Everything known of one set of features; rows are numbered as they were given."""

    rows: int
    neighbours: int
    reference: str
    """The split that the others are judged by."""
    splits: tuple[SplitScore, ...]
    silhouette: Share | None
    """In [-1, 1]: near 1 where labels are clusters, near 0 where they mix, below 0 where a row is
    nearer to another label than to its own."""
    leaks: tuple[Leak, ...] = ()
    leak_count: int = 0
    suspects: tuple[Suspect, ...] = ()
    suspect_count: int = 0
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Diagnostics":
        """Return the diagnostics that `as_json` gave."""
        plain = dict(content)
        plain["splits"] = tuple(_split_score(one) for one in content["splits"])
        plain["silhouette"] = _share(content["silhouette"])
        plain["leaks"] = tuple(Leak(**one) for one in content["leaks"])
        plain["suspects"] = tuple(Suspect(**one) for one in content["suspects"])
        plain["notes"] = tuple(content["notes"])
        return cls(**plain)


def _share(content: dict[str, Any] | None) -> Share | None:
    return None if content is None else Share(**content)


def _split_score(content: dict[str, Any]) -> SplitScore:
    shares = {name: _share(content[name]) for name in ("neighbours", "probe")}
    return SplitScore(**(content | shares))
