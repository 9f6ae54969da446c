"""What the store needs to know of a kind of artifact; each capability tells it in its own module.

`conf/<stem>.py` names the kind in its recipe, `storage/<stem>.py` lists it in `KINDS`: nothing is
registered anywhere else.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import conf
from conf.errors import did_you_mean
from conf.keys import Recipe
from storage.errors import StoreError
from storage.parts import PartWriter

if TYPE_CHECKING:
    from storage.drafts import Draft
    from storage.store import Artifact, ArtifactStore


@dataclass(frozen=True)
class Kind:
    """How one kind of artifact is cut, finished, read and taken over."""

    name: str
    open: Callable[[ArtifactStore, Artifact], Any]
    """Returns the reader that `open_artifact` gives."""
    part_rows: int = 256
    """Rows of a part, unless Runtime says otherwise."""
    finish: Callable[[Draft], None] | None = None
    """Writes the documented files from the sealed parts; idempotent."""
    copy_rows: Callable[[Path, Sequence[int], PartWriter], None] | None = None
    """Copies rows, by position, of a sealed part into a new one. Kinds that have it are row-
    wise."""
    changes: Callable[[Any, Any], str] | None = None
    """Says in words what became of the rows of an older artifact; given the readers, older first.
    It stands for the recipe's fields, which only sum the rows up."""
    compare: Callable[[Any, Any], list[str]] | None = None
    """Says in words how far an artifact has moved from an older one; given the readers, older
    first."""
    write_bundle: Callable[[ArtifactStore, Artifact, Path], None] | None = None
    """Writes an artifact as one file, for others, to a path that does not exist: whole or not at
    all."""

    @property
    def row_wise(self) -> bool:
        """Whether a row's bytes depend on the row alone, so that sealed parts may be taken over."""
        return self.copy_rows is not None


def find_kind(name: str) -> Kind:
    """Return what `storage/<stem>.py` says of the kind `name`."""
    stem = stem_of(name)
    kinds: Sequence[Kind] = importlib.import_module(f"storage.{stem}").KINDS
    return next(kind for kind in kinds if kind.name == name)


def stem_of(kind: str) -> str:
    """Return the capability whose recipe in `conf` makes artifacts of `kind`."""
    stems = [module.name for module in pkgutil.iter_modules(conf.__path__) if not module.ispkg]
    # Those that are imported first: mostly it is one of them, and importing all takes a while.
    for stem in sorted(stems, key=lambda stem: f"conf.{stem}" not in sys.modules):
        if kind in _kinds_of(stem):
            return stem
    known = [name for stem in stems for name in _kinds_of(stem)]
    raise StoreError(f"No capability here makes {kind!r} artifacts. {did_you_mean(kind, known)}")


def recipe_of(kind: str) -> type[Recipe]:
    """Return the recipe class in `conf` that makes artifacts of `kind`."""
    members = vars(importlib.import_module(f"conf.{stem_of(kind)}")).values()
    found = next(m for m in members if _is_recipe(m) and m.kind == kind)
    return cast(type[Recipe], found)


def _is_recipe(member: Any) -> bool:
    return inspect.isclass(member) and issubclass(member, Recipe) and hasattr(member, "kind")


@cache
def _kinds_of(stem: str) -> frozenset[str]:
    """Return the kinds that the recipes of one module of `conf` make."""
    members = vars(importlib.import_module(f"conf.{stem}")).values()
    recipes = [m for m in members if inspect.isclass(m) and issubclass(m, Recipe)]
    return frozenset(
        r.kind for r in recipes if "kind" in vars(r) and r.__module__ == f"conf.{stem}"
    )
