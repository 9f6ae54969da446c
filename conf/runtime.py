"""Where and how fast: nothing here reaches a key."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from conf.keys import Frozen
from conf.machine import cores


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


Place = Annotated[Path, AfterValidator(_absolute)]
"""A directory, absolute: "~" is the user's home, a relative path starts where the run does."""


def _path_from(variable: str, default: str) -> Path:
    return _absolute(Path(os.environ.get(variable) or default))


def _roots() -> tuple[Path, ...]:
    given = os.environ.get("FEATUREMILL_ROOTS", "")
    return tuple(_absolute(Path(root)) for root in given.split(os.pathsep) if root)


class Runtime(Frozen):
    """Where things are kept and how fast they are made; two runtimes make the same bytes."""

    store: Place = Field(
        default_factory=lambda: _path_from("FEATUREMILL_STORE", "featuremill-store")
    )
    """The artifact store's directory."""
    models: Place = Field(
        default_factory=lambda: _path_from("FEATUREMILL_MODELS", "~/.cache/featuremill/models")
    )
    """Where model weights lie, each in a directory of its own."""
    roots: tuple[Place, ...] = Field(default_factory=_roots)
    """Directories that files named by data may lie in, beside the source's own."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where models run; "auto" takes MPS, then CUDA, then the CPU."""
    batch_size: int = Field(default=16, ge=1)
    """Rows a model takes at once."""
    lanes: int = Field(default_factory=cores, ge=1)
    """Threads that each decode and encode their own batch, inside one part."""
    part_rows: int | None = Field(default=None, ge=1)
    """Rows of a part, the unit of resume; None takes the kind's own."""
    take_over: bool = True
    """Whether rows that older artifacts of the same recipe hold are taken over."""
    runner: Literal["threads", "dask", "ray"] = "threads"
    """What makes the parts: threads of the run's process, or processes on one or more machines."""
    workers: int = Field(default=1, ge=1)
    """Parts made at once: threads, worker processes of this machine, or those of `cluster`."""
    cluster: str | None = None
    """Address of a Dask or Ray cluster that exists; None starts workers on this machine."""
    store_uuid: str | None = None
    """What the store's card must say; a run tells its workers, so that none writes elsewhere."""
    progress: bool = True
    """Whether long work shows rows/s and time left on standard error."""
