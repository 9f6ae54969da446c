"""Where the weights of scores lie, what they are, and what to do when they are missing."""

import os
from functools import lru_cache
from pathlib import Path

from conf.errors import WorldError
from conf.quality import BrisqueBackend, BrisqueRecipe
from conf.runtime import Runtime
from storage.hashes import Hashes
from tasks.compute.quality.brisque import Regression
from tasks.models.identity import WeightsMissing

SVM770 = Path(__file__).parents[1] / "models" / "brisque" / "svm770.safetensors"
_PIQ_BRISQUE = "brisque_svm_weights.pt"
_PIQ_URL = "https://github.com/photosynthesis-team/piq/releases/download"


class WeightsChanged(WorldError):
    """Weights are not the ones that a recipe names."""


def find_brisque(backend: BrisqueBackend, given: Path | None, runtime: Runtime) -> Path:
    """Return the file of a backend's weights: `given`, or where its library keeps them.

    Raises WeightsMissing.
    """
    if backend == "svm770":
        return SVM770
    torch_home = Path(os.environ.get("TORCH_HOME") or "~/.cache/torch").expanduser()
    cache = torch_home / "hub" / "checkpoints" / _PIQ_BRISQUE
    places = [given] if given else [runtime.models / "piq" / _PIQ_BRISQUE, cache]
    return _first(places, "BRISQUE by piq", f"{_PIQ_URL}/v0.4.0/{_PIQ_BRISQUE}")


def find_clip_iqa(given: Path | None, runtime: Runtime) -> Path:
    """Return the folder that holds piq's RN50.pt and clipiqa_tokens.pt; raises WeightsMissing."""
    cache = Path("~/.cache/clip").expanduser()
    places = [given] if given else [runtime.models / "piq", cache]
    names = ("RN50.pt", "clipiqa_tokens.pt")
    for place in places:
        if all((place / name).is_file() for name in names):
            return place
    raise _missing(" and ".join(names), "CLIP-IQA by piq", places, f"{_PIQ_URL}/v0.7.1/")


def _first(places: list[Path], what: str, url: str) -> Path:
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise _missing(places[0].name, what, [place.parent for place in places], url)
    return found


def _missing(name: str, what: str, places: list[Path], url: str) -> WeightsMissing:
    remedy = f"Download {name} from {url} and put it there; this score alone is made then."
    return WeightsMissing(what, places, remedy)


def sha256_of(path: Path, runtime: Runtime) -> str:
    """Return the sha256 of a weights file, remembered by the store."""
    with Hashes(runtime.store / "hashes.sqlite") as hashes:
        return hashes.sha256_of_file(path)


def check_sha256(path: Path, wanted: str, runtime: Runtime) -> None:
    """Raise WeightsChanged unless the file is the one that a recipe names."""
    found = sha256_of(path, runtime)
    if found != wanted:
        raise WeightsChanged(
            f"{path} has sha256 {found[:16]}..., the recipe names {wanted[:16]}...: it was changed "
            "since this run began. Run again: its scores get a key of their own."
        )


def load_brisque(recipe: BrisqueRecipe, given: Path | None, runtime: Runtime) -> Regression:
    """Return the regression that `recipe` names."""
    path = find_brisque(recipe.backend, given, runtime)
    check_sha256(path, recipe.weights_sha256, runtime)
    return _load(path, recipe.weights_sha256, recipe.backend)


@lru_cache(maxsize=2)
def _load(path: Path, sha256: str, backend: BrisqueBackend) -> Regression:
    """Return the regression of the file that is at `path` now; another has another `sha256`."""
    return _load_svm770(path) if backend == "svm770" else _load_piq(path)


def _load_svm770(path: Path) -> Regression:
    from safetensors.numpy import load_file

    found = load_file(path)
    ranges = found["lowest"], found["highest"]
    gamma, rho = float(found["gamma"][0]), float(found["rho"][0])
    return Regression(found["sv_coef"], found["sv"], *ranges, gamma, rho)


def _load_piq(path: Path) -> Regression:
    import torch

    coefficients, vectors = torch.load(path, map_location="cpu", weights_only=True)
    return Regression.of_piq(coefficients.double().numpy().ravel(), vectors.double().numpy())
