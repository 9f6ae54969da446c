"""What a model is by its bytes: checksums of weights, versions of libraries."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from conf.errors import RecipeError, WorldError
from conf.machine import package_version
from conf.models import ModelSpec

Sha256 = Callable[[Path], str]
"""Gives the sha256, in hex, of a file; callers pass one that remembers."""


class WeightsMissing(WorldError):
    """The files of a model are not on this machine."""

    def __init__(self, model: str, looked_in: Iterable[Path | str], remedy: str) -> None:
        places = "; ".join(str(place) for place in looked_in) or "nowhere"
        super().__init__(f"The weights of {model} are missing. Looked in: {places}. {remedy}")


class WeightsDiffer(WorldError):
    """The recipe pins other weights than those on this machine."""


class WeightsUnreadable(WorldError):
    """A file of weights is there, but is not what the model takes."""


class LibraryMissing(WorldError):
    """The package that runs a model is not installed."""


class LibraryDiffers(WorldError):
    """The recipe pins another version of a package than the one installed."""


LOCAL = "local-dir:"
"""What the name of a directory of the user's own begins with."""


def local_folder(models_root: Path, named: str) -> Path:
    """Return the directory that `local-dir:NAME` means; raises RecipeError when it is not under the
    models root."""
    name = named.removeprefix(LOCAL)
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise RecipeError(
            f"{LOCAL}{name} does not name a directory under the models root {models_root}: "
            f"say {LOCAL}NAME without a leading slash or '..'."
        )
    return models_root / name


def title(spec: ModelSpec) -> str:
    """Return how messages name a model: `open_clip ViT-B-32 (laion2b_s34b_b79k)`."""
    return f"{spec.family} {spec.name} ({spec.weights})"


def file_sha256(path: Path) -> str:
    """Return the sha256, in hex, of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def installed(packages: Sequence[str], *, extra: str | None = None) -> str:
    """Return `name==version` of each package, space separated, without importing any.

    Raises LibraryMissing, which names the pip command (`extra` is featuremill's).
    """
    return " ".join(f"{package}=={_require(package, extra)}" for package in packages)


def settled(spec: ModelSpec, *, sha256: str, library: str, **more: Any) -> ModelSpec:
    """Return `spec` with what was found filled in; raises when it pins anything else."""
    if spec.sha256 not in (None, sha256):
        raise WeightsDiffer(
            f"The recipe pins sha256 {spec.sha256} for {title(spec)}, the weights on this machine "
            f"have {sha256}. Put the pinned weights in their place, or pin these."
        )
    if spec.library not in (None, library):
        raise LibraryDiffers(
            f"The recipe pins {spec.library!r} for {title(spec)}, installed is {library!r}. "
            "Install the pinned version, or pin the installed one: features may differ."
        )
    return spec.model_copy(update={"sha256": sha256, "library": library, **more})


def seed_of(spec: ModelSpec) -> int:
    """Return SEED of the weights `random:SEED`."""
    text = spec.weights.removeprefix("random:")
    if not text.isdecimal():
        raise RecipeError(
            f"{spec.weights!r} names no random weights: what follows the colon is a whole number, "
            'such as weights = "random:0".'
        )
    return int(text)


def fingerprint_of(arrays: Iterable[tuple[str, str, tuple[int, ...], bytes | memoryview]]) -> str:
    """Return the sha256, in hex, over (name, dtype, shape, bytes) of every array of a model."""
    digest = hashlib.sha256()
    for name, dtype, shape, content in arrays:
        digest.update(f"{name}\0{dtype}\0{shape}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _require(package: str, extra: str | None) -> str:
    found = package_version(package)
    if found is None:
        wanted = f'"featuremill[{extra}]"' if extra else package
        raise LibraryMissing(
            f"The package {package} is not installed. Install it with `pip install {wanted}`."
        )
    return found
