"""Models by name: a spec in, a loaded encoder out, once a process. Imports no model library."""

import importlib
import importlib.util
import pkgutil
import threading
from pathlib import Path
from types import ModuleType
from typing import cast

from conf.errors import RecipeError, did_you_mean
from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.models.devices import enter_lane
from tasks.models.identity import Sha256, file_sha256, title
from tasks.models.protocols import ImageTextEncoder

__all__ = ["enter_lane", "families", "load_encoder", "resolve"]

_LOADED: dict[tuple[ModelSpec, str, Path], ImageTextEncoder] = {}
_LOADING = threading.RLock()


def load_encoder(spec: ModelSpec, runtime: Runtime) -> ImageTextEncoder:
    """Return the encoder of a resolved `spec`, loaded once per process and device.

    Raises RecipeError for an unresolved spec or an unknown family, WeightsMissing, and
    WeightsDiffer when the file on this machine is not the one the spec pins.
    """
    if not spec.is_resolved:
        raise RecipeError(
            f"{title(spec)} is to be loaded, but its spec does not say which weights and library: "
            "pass it through `resolve` first."
        )
    wanted = (spec, runtime.device, runtime.models)
    with _LOADING:
        if wanted not in _LOADED:
            loaded = _adapter(spec.family).load(spec, runtime.models, runtime.device)
            _LOADED[wanted] = cast(ImageTextEncoder, loaded)
        return _LOADED[wanted]


def resolve(
    spec: ModelSpec, runtime: Runtime, remembered_sha256: Sha256 = file_sha256
) -> ModelSpec:
    """Return `spec` with everything filled in that decides features: weights, library, tokenizer.

    Imports no model library, so that a run of which all is stored needs none. Raises
    WeightsMissing, WeightsDiffer, LibraryMissing, LibraryDiffers and RecipeError.
    """
    adapter = _adapter(spec.family)
    return cast(ModelSpec, adapter.identify(spec, runtime.models, remembered_sha256))


def families() -> list[str]:
    """Return the names of all adapters: the modules beside this one that `identify` and `load`."""
    names = [found.name for found in pkgutil.iter_modules([str(Path(__file__).parent)])]
    return [name for name in names if _is_adapter(importlib.import_module(f"tasks.models.{name}"))]


def _is_adapter(module: ModuleType) -> bool:
    return hasattr(module, "identify") and hasattr(module, "load")


def _adapter(family: str) -> ModuleType:
    found = family.isidentifier() and importlib.util.find_spec(f"tasks.models.{family}")
    module = importlib.import_module(f"tasks.models.{family}") if found else None
    if module is None or not _is_adapter(module):
        raise RecipeError(
            f"There is no model family {family!r}. {did_you_mean(family, families())}"
        )
    return module
