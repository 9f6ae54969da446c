"""Recipes and the keys they make: what is made is named by the hash of what decides its bytes."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from conf.errors import RecipeError

_KEY = re.compile(r"(?P<kind>[a-z][a-z0-9-]*)-v(?P<version>[0-9]+)-(?P<digest>[0-9a-f]{16})")

_PLAIN = {int, str, bool, type(None)}


class Frozen(BaseModel):
    """A value: immutable, hashable, and refusing fields it does not know.

    Presets are read strictly (`conf.load.validate`); Python callers and Prefect's deployments,
    whose parameters come back as plain JSON values, may give a list for a tuple and text for a
    path.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, order=True)
class ArtifactKey:
    """The name of an artifact, such as `image-features-v1-515e788a648a4da8`."""

    kind: str
    version: int
    digest: str
    """The first 16 hex digits of the sha256 of the canonical JSON."""

    def __str__(self) -> str:
        return f"{self.kind}-v{self.version}-{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that `text` spells; raises RecipeError when it spells none."""
        found = _KEY.fullmatch(text)
        if found is None:
            raise RecipeError(
                f"{text!r} is not an artifact key. A key reads kind-v1-0123456789abcdef; "
                "`featuremill ls` lists those of the store."
            )
        return cls(found["kind"], int(found["version"]), found["digest"])

    @classmethod
    def of(cls, kind: str, version: int, content: Any) -> Self:
        """Return the key of `content`, a value that canonical JSON can say."""
        return cls(kind, version, sha256_of(content)[:16])


class Recipe(Frozen):
    """Everything that decides the bytes of one kind of artifact, and nothing else."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised by hand when the code changes what the same recipe makes."""
    row_inputs: ClassVar[frozenset[str]] = frozenset()
    """Inputs that only say which rows are wanted: artifacts that differ in them alone share
    rows."""

    def key(self, **inputs: ArtifactKey) -> ArtifactKey:
        """Return the key of the artifact that this recipe makes of `inputs`."""
        return ArtifactKey.of(self.kind, self.version, self.identity(inputs))

    def identity(self, inputs: Mapping[str, ArtifactKey]) -> dict[str, Any]:
        """Return what is hashed: kind, version, every field (defaults too) and the input keys."""
        return {
            "kind": self.kind,
            "version": self.version,
            "recipe": self.model_dump(mode="python"),
            "inputs": {name: str(key) for name, key in inputs.items()},
        }

    def family(self, inputs: Mapping[str, ArtifactKey]) -> str:
        """Return the sha256 that artifacts share whose rows are interchangeable."""
        fixed = {name: key for name, key in inputs.items() if name not in self.row_inputs}
        return sha256_of(self.identity(fixed))


def held_rows(recipe: Recipe | Mapping[str, Any], units: int) -> int:
    """Return how many rows people count in `units` units of work: a recipe that says `rows`, as a
    ledger's does, means those of a unit; of all others a unit is a row."""
    each = recipe.get("rows", 1) if isinstance(recipe, Mapping) else getattr(recipe, "rows", 1)
    return units * int(each)


def canonical_json(content: Any) -> str:
    """Return the one JSON text of `content`: sorted keys, no spaces, floats by repr.

    Raises RecipeError for what has no single text: NaN and infinities, sets, paths, other objects.
    """
    _refuse_ambiguous(content, "recipe")
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256_of(content: Any) -> str:
    """Return the sha256, in hex, of the canonical JSON of `content`."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _refuse_ambiguous(content: Any, place: str) -> None:
    match content:
        case None | bool() | int() | str():
            return
        case float():
            if not math.isfinite(content):
                raise RecipeError(f"{place} is {content}: a key takes finite numbers only.")
        case Mapping():
            for name, value in content.items():
                if not isinstance(name, str):
                    raise RecipeError(f"{place} has the name {name!r}: names are strings.")
                _refuse_ambiguous(value, f"{place}.{name}")
        case list() | tuple() if set(map(type, content)) <= _PLAIN:
            return  # a mask's run lengths, a dataset's rows: many, and not one to be looked at
        case list() | tuple():
            for index, value in enumerate(content):
                _refuse_ambiguous(value, f"{place}[{index}]")
        case _:
            raise RecipeError(
                f"{place} is a {type(content).__name__}: a key takes text, numbers, booleans, "
                "lists and tables only. Sets have no order and paths no content; say what is meant "
                "as a sorted list or as the sha256 of the content."
            )
