"""Where and how fast: nothing here reaches a key."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from conf.keys import Frozen


def _path_from(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or default).expanduser().absolute()


def _roots() -> tuple[Path, ...]:
    given = os.environ.get("FEATUREMILL_ROOTS", "")
    return tuple(Path(root).expanduser().absolute() for root in given.split(os.pathsep) if root)


class Runtime(Frozen):
    """Where things are kept and how fast they are made; two runtimes make the same bytes."""

    store: Path = Field(default_factory=lambda: _path_from("FEATUREMILL_STORE", "featuremill-store"))
    """The artifact store's directory."""
    models: Path = Field(
        default_factory=lambda: _path_from("FEATUREMILL_MODELS", "~/.cache/featuremill/models")
    )
    """Where model weights lie, each in a directory of its own."""
    roots: tuple[Path, ...] = Field(default_factory=_roots)
    """Directories that files named by data may lie in, beside the source's own."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where models run; "auto" takes MPS, then CUDA, then the CPU."""
    batch_size: int = Field(default=16, ge=1)
    """Rows a model takes at once."""
    lanes: int = Field(default_factory=lambda: len(os.sched_getaffinity(0))
                       if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, ge=1)
    """Threads that each decode and encode their own batch, inside one part."""
    part_rows: int | None = Field(default=None, ge=1)
    """Rows of a part, the unit of resume; None takes the kind's own."""
    runner: Literal["threads"] = "threads"
    """Which Prefect task runner makes the parts."""
    workers: int = Field(default=1, ge=1)
    """Parts made at once."""
    progress: bool = True
    """Whether long work shows rows/s and time left on standard error."""
