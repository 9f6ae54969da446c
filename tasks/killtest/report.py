"""What a kill test found, step by step."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.killtest.audit import FAULTS
from tasks.killtest.deaths import RANDOM

HEADER = ("step", "kills", *FAULTS, "parts remade")
_MOST_FAULTS_TOLD = 20


@dataclass
class Tally:
    """The deaths at one step and what they did, rows and parts counted."""

    kills: int = 0
    torn: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    remade: int = 0

    def add(self, other: Mapping[str, int]) -> None:
        """Count `other`, by the names of the fields, in."""
        for name, count in other.items():
            setattr(self, name, getattr(self, name) + count)

    @property
    def is_sound(self) -> bool:
        """Whether nothing was torn, lost, doubled or wrong."""
        return not (self.torn or self.lost or self.doubled or self.wrong)


@dataclass
class Report:
    """All deaths of a kill test."""

    seed: int
    seconds: float = 0.0
    tallies: dict[str, Tally] = field(default_factory=dict)
    """By step, in the order in which a making passes them."""
    faults: list[str] = field(default_factory=list)
    """The first faults, in words."""
    most_remade: int = 0
    """The most parts that one death made to be begun again."""
    survived: int = 0
    """Children that were done before they were killed; they do not count."""
    moments: int = 0
    """How many different moments (before and after each step) a making passes."""
    covered: set[str] = field(default_factory=set)
    """The moments at which somebody died."""

    @property
    def total(self) -> Tally:
        """All steps together."""
        total = Tally()
        for tally in self.tallies.values():
            total.add(asdict(tally))
        return total

    @property
    def is_sound(self) -> bool:
        """Whether the store kept every promise: no row harmed, at most one part of work lost."""
        return self.total.is_sound and self.most_remade <= 1

    def take(self, lived: Mapping[str, Any]) -> None:
        """Count one life, as `lives` tells it."""
        self.survived += not lived["died"]
        self.covered |= {lived["moment"]} if lived["died"] and lived["moment"] else set()
        faults: Mapping[str, list[str]] = lived["faults"]
        counts = {name: len(texts) for name, texts in faults.items()}
        died = {"kills": int(lived["died"]), "remade": lived["remade"]}
        self.tallies.setdefault(lived["step"], Tally()).add(counts | died)
        self.most_remade = max(self.most_remade, lived["remade"])
        told = [f"{name}, {lived['step']}: {text}" for name in faults for text in faults[name]]
        self.faults = (self.faults + told)[:_MOST_FAULTS_TOLD]

    def rows(self) -> list[tuple[str, ...]]:
        """Return the lines of the table under HEADER, the last one the total."""
        named = [(step, tally) for step, tally in self.tallies.items() if step != RANDOM]
        at_random = [(RANDOM, self.tallies[RANDOM])] if RANDOM in self.tallies else []
        every = [*named, *at_random, ("all", self.total)]
        return [(step, *map(str, asdict(tally).values())) for step, tally in every]

    def verdict(self) -> str:
        """Return what it comes to, in words, with the first faults."""
        total = self.total
        kept = "No row was torn, lost, doubled or wrong" if total.is_sound else "ROWS WERE HARMED"
        words = (
            f"{total.kills} processes were killed in {self.seconds} s, at {len(self.covered)} of "
            f"the {self.moments} moments before and after a step and at random ones (seed "
            f"{self.seed}). {kept}; a death cost at most {self.most_remade} part of work."
        )
        return "\n".join([words, *self.faults])

    def as_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        totals = {"total": asdict(self.total), "is_sound": self.is_sound}
        return asdict(self) | {"covered": sorted(self.covered)} | totals


def ordered(steps: Iterable[str]) -> dict[str, Tally]:
    """Return an empty tally for each of `steps`, in their order."""
    return {step: Tally() for step in dict.fromkeys(steps)}
