"""What this machine has and lacks, each fact with what to do about it. Nothing is changed."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from conf.errors import FeaturemillError
from conf.machine import cores, package_version
from conf.runtime import Runtime
from storage.store import ArtifactStore

SHOWN = ("prefect", "fastapi", "sqlalchemy", "torch", "numpy", "h5py", "pyarrow", "blake3")
"""The packages whose versions explain most troubles."""
_LEAST_FREE_BYTES = 1 << 30  # 1 GiB


@dataclass(frozen=True)
class Check:
    """One fact about this machine."""

    name: str
    found: str
    remedy: str = ""
    """What to do about it; empty when nothing is wrong."""


def examine(runtime: Runtime, *, is_deep: bool = False) -> list[Check]:
    """Return what was found, in the order of reading. torch is imported with `is_deep` only."""
    return [
        check_store(runtime.store),
        check_disk(runtime.store),
        _check_models(runtime.models),
        *map(_check_root, runtime.roots),
        Check("python", f"{platform.python_version()} on {platform.platform()}"),
        *check_packages(),
        _check_devices(is_deep),
        _check_prefect(),
    ]


def check_store(path: Path) -> Check:
    """Return whether the store at `path` can be used, or could be founded there."""
    there = _nearest_directory(path)
    if path.exists():
        try:
            is_founded = (path / "store.json").exists() or any(path.iterdir())
            found = ArtifactStore(path, create=False).uuid if is_founded else ""
        except (FeaturemillError, OSError) as problem:
            return Check("store", str(path), str(problem))
    else:
        found = ""
    if not os.access(there, os.W_OK | os.X_OK):
        return Check("store", f"{path}, read-only", _unwritable(there))
    state = f"a store, {found[:8]}" if found else "not there yet: the first run makes it"
    return Check("store", f"{path} ({state})")


def _unwritable(directory: Path) -> str:
    return (
        f"{directory} cannot be written to: what is stored can be read, nothing can be made. "
        "Make it writable, or name another store with --store or FEATUREMILL_STORE."
    )


def check_disk(path: Path, least_bytes: int = _LEAST_FREE_BYTES) -> Check:
    """Return how much space is free where the store lies or would lie."""
    usage = shutil.disk_usage(_nearest_directory(path))
    found = f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free"
    remedy = f"Less than {least_bytes / 1e9:.1f} GB is free. Free some, or move the store."
    return Check("disk", found, remedy if usage.free < least_bytes else "")


def _nearest_directory(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.is_dir())


def _check_models(path: Path) -> Check:
    state = "" if path.is_dir() else " (not there yet; the pocket models need none)"
    return Check("models", f"{path}{state}")


def _check_root(path: Path) -> Check:
    remedy = "" if path.is_dir() else f"{path} of FEATUREMILL_ROOTS is no directory. Correct it."
    return Check("root", str(path), remedy)


def check_packages() -> Iterator[Check]:
    """Yield one check of the versions worth knowing and one for every package that does not fit."""
    known = ((name, package_version(name)) for name in SHOWN)
    yield Check("packages", ", ".join(f"{name} {found or 'missing'}" for name, found in known))
    from packaging.requirements import Requirement

    for wanted in map(Requirement, _required()):
        found = package_version(wanted.name)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        if found is None or not wanted.specifier.contains(found, prereleases=True):
            yield Check(
                wanted.name,
                found or "missing",
                f"featuremill needs {wanted}; another one may break it without a word. "
                "Run: pip install -c constraints.txt -e .",
            )


def _required() -> list[str]:
    try:
        return requires("featuremill") or []
    except PackageNotFoundError:  # run from its folder, never installed
        return []


def _check_devices(is_deep: bool) -> Check:
    found = f"{cores()} CPU cores"
    if not is_deep:
        return Check("devices", f"{found}; --deep imports torch and says more")
    from tasks.models.devices import choose_device

    return Check("devices", f"{found}; models run on {choose_device('auto')}")


def _check_prefect() -> Check:
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    return Check("prefect", url or "no server named: every run starts one for itself")
