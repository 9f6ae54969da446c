"""Drafts: artifacts in the making. They survive failure, remember their plan and know what is
missing."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

from conf.keys import ArtifactKey, Recipe, canonical_json, sha256_of
from storage.atomic import make_directory, needing_space, write_file
from storage.errors import DraftLost, IncompleteArtifact, StoreError
from storage.parts import Marker, PartWriter, marker_path, part_name, sealed, writing

PLAN = "plan.json"


@dataclass(frozen=True)
class Making:
    """What is to be made: a recipe, the keys of its inputs, and the rows that the parts must
    cover."""

    recipe: Recipe
    inputs: Mapping[str, ArtifactKey]
    rows: Sequence[str]
    """The id of each unit of work, such as the sha256 of an image's content."""
    row_bytes: int = 0
    """About how many bytes a row will take on the disk; 0 when nobody knows."""

    @cached_property
    def key(self) -> ArtifactKey:
        """The key of the artifact to be."""
        return self.recipe.key(**self.inputs)

    @cached_property
    def family(self) -> str:
        """The sha256 that artifacts with interchangeable rows share."""
        return self.recipe.family(self.inputs)

    def plan(self, parts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return the content of plan.json for rows cut into the named `parts`."""
        return {
            "key": str(self.key),
            "digest": sha256_of(self.recipe.identity(self.inputs)),
            "family": self.family,
            "recipe": self.recipe.model_dump(mode="json"),
            "inputs": {name: str(key) for name, key in self.inputs.items()},
            "began": time.time(),
            "parts": {name: list(rows) for name, rows in parts.items()},
        }


@lru_cache(maxsize=4)
def _parsed(path: Path, *stamp: int) -> dict[str, Any]:
    """Return the plan at `path`, parsed once: every part of a making asks for it."""
    plan: dict[str, Any] = json.loads(path.read_bytes())
    return plan


class Draft:
    """An artifact in the making, at `<store>/drafts/<kind>/<key>/`."""

    def __init__(self, path: Path, plan: Mapping[str, Any]) -> None:
        self.path = path
        self.plan = plan
        self.key = ArtifactKey.parse(plan["key"])
        self.part_rows: Mapping[str, Sequence[str]] = plan["parts"]

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the draft at `path`, or None when there is no whole plan."""
        try:
            status = (path / PLAN).stat()
            return cls(
                path, _parsed(path / PLAN, status.st_ino, status.st_mtime_ns, status.st_size)
            )
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError) as problem:
            raise StoreError(
                f"{path / PLAN} is not a plan ({problem}). Nothing published is concerned; "
                f"remove {path} and run again."
            ) from problem

    @classmethod
    def create(cls, path: Path, making: Making, parts: Sequence[Sequence[str]]) -> Self:
        """Return a new draft of `making`, its rows cut into `parts`, none of them made yet."""
        make_directory(path / "parts")
        named = {part_name(making.key, number): rows for number, rows in enumerate(parts)}
        draft = cls(path, making.plan(named))
        write_file(path / PLAN, canonical_json(dict(draft.plan)).encode())
        return draft

    @property
    def parts(self) -> Path:
        """Where the parts lie."""
        return self.path / "parts"

    def sealed(self) -> dict[str, Marker]:
        """Return the markers of the sealed parts that the plan knows, by part name."""
        markers = {marker.part: marker for marker in sealed(self.parts, self.key)}
        return {name: m for name, m in markers.items() if m.rows == tuple(self.rows_of(name))}

    def pending(self) -> list[str]:
        """Return the names of the parts still to be made, in the order of the plan."""
        done = self.sealed()
        return [name for name in self.part_rows if name not in done]

    def rows_of(self, name: str) -> Sequence[str]:
        """Return the ids of the rows of part `name`."""
        return self.part_rows.get(name, ())

    @contextmanager
    def write_part(self, name: str) -> Iterator[PartWriter]:
        """Yield a writer of part `name`, and seal the part on leaving."""
        rows = self.part_rows.get(name)
        if rows is None or not self.parts.is_dir():
            raise self._lost(name)
        try:
            with (
                needing_space(self.path),
                writing(self.parts, self.key, name, rows) as writer,
            ):
                yield writer
        except FileNotFoundError as problem:
            if self.parts.is_dir():
                raise
            raise self._lost(name) from problem

    def _lost(self, name: str) -> DraftLost:
        return DraftLost(
            f"Part {name} belongs to no draft in {self.path}: another run published or removed it. "
            "Run the flow again; what is published is reused."
        )

    def check_complete(self) -> list[Marker]:
        """Return the markers of all parts, in order; raises IncompleteArtifact unless all are
        sealed."""
        done = self.sealed()
        missing = [name for name in self.part_rows if name not in done]
        if missing:
            raise IncompleteArtifact(
                f"{self.key} lacks {len(missing)} of {len(self.part_rows)} parts "
                f"({sum(len(self.rows_of(name)) for name in missing)} rows). The others are sealed "
                f"in "
                f"{self.path}; run the same flow again to make only what is missing."
            )
        return [done[name] for name in self.part_rows]

    def reject(self, name: str, quarantine: Path) -> None:
        """Move a damaged part to `quarantine`, marker first, so that it is made again."""
        quarantine.mkdir(parents=True, exist_ok=True)
        for path in (marker_path(self.parts, name), self.parts / name):
            if path.exists():
                path.rename(quarantine / path.name)

    def discard(self) -> None:
        """Remove this draft, of which nothing can come: its input was refused, or nothing is
        sealed."""
        shutil.rmtree(self.path)
