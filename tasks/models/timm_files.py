"""Where the files of a timm model lie on this machine. Imports neither timm nor torch."""

import importlib.util
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from conf.errors import RecipeError, did_you_mean
from conf.models import ModelSpec
from tasks.models.identity import (
    LOCAL,
    LibraryMissing,
    WeightsMissing,
    WeightsUnreadable,
    local_folder,
    title,
)
from tasks.models.open_clip_files import ORIGIN_NAME, home

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
NEEDED = ("input_size", "mean", "std")
"""What a configuration of pixels says at least."""

_HUB = "hf-hub:"
_REGISTERED = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """The files of one model, and what they say it is."""

    architecture: str
    """As timm spells it, with the tag where there is one: "vit_small_patch14_dinov2.lvd142m"."""
    weights: Path | None
    """None where they are random."""
    config: Path | None = None
    """The model's own config.json; None: timm's own configuration of the architecture is used."""
    revision: str | None = None
    """The commit, where the files come from a hub repository."""
    pixels: dict[str, Any] | None = None
    """Its `pretrained_cfg`: how pixels become the model's input."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Its `model_args`: what differs from the architecture as timm has it."""


def find_files(spec: ModelSpec, models_root: Path) -> Found:
    """Return the files that `spec` names.

    Raises WeightsMissing, which says where was looked, WeightsUnreadable for a configuration that
    is none, and RecipeError for an unknown architecture.
    """
    folder = _folder(spec, models_root)
    config = folder / CONFIG_NAME if folder else None
    if folder is None or config is None or not config.is_file():
        if spec.name.startswith((_HUB, LOCAL)):
            raise WeightsMissing(title(spec), [folder / CONFIG_NAME if folder else ""],
                                 _remedy(spec, folder))  # fmt: skip
        require_architecture(spec.name)
        return Found(spec.name, _weights(spec, folder), revision=_origin(spec, folder))
    said = read_config(config)
    architecture = _architecture(spec, config, said["architecture"])
    return Found(
        architecture,
        _weights(spec, folder),
        config,
        _origin(spec, folder),
        said["pretrained_cfg"],
        said.get("model_args") or {},
    )


def require_architecture(name: str) -> None:
    """Raise RecipeError unless timm has an architecture of that name, whatever its tag."""
    plain = name.partition(".")[0]
    if plain not in architectures():
        raise RecipeError(
            f"timm has no architecture {plain!r}. {did_you_mean(plain, sorted(architectures()))}"
        )


@cache
def architectures() -> frozenset[str]:
    """Return the architectures of the installed timm.

    Read from its source texts: importing it would cost seconds, and torch.
    """
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        raise LibraryMissing(
            'The package timm is not installed. Install it with `pip install "featuremill[clip]"`.'
        )
    texts = (path.read_text() for path in (Path(spec.origin).parent / "models").rglob("*.py"))
    return frozenset(name for text in texts for name in _REGISTERED.findall(text))


def read_config(path: Path) -> dict[str, Any]:
    """Return what a config.json in timm's form says; raises WeightsUnreadable when it is none."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsUnreadable(f"{path} is not JSON: {error}.") from error
    if not isinstance(said, dict) or not isinstance(said.get("architecture"), str):
        raise WeightsUnreadable(
            f"{path} names no architecture: it is no timm model. What transformers saved is "
            "another format; take the model's repository under hf-hub:timm/."
        )
    pixels = said.get("pretrained_cfg")
    missing = [name for name in NEEDED if not isinstance(pixels, dict) or not pixels.get(name)]
    if missing:
        raise WeightsUnreadable(
            f"{path} lacks {', '.join(missing)} in its pretrained_cfg: how pixels become the "
            "model's input is not guessed. Save it with timm, or leave the file out."
        )
    return said


def _folder(spec: ModelSpec, models_root: Path) -> Path | None:
    """Return the directory that `spec` names; None where everything is random or timm's own."""
    for named in (spec.weights, spec.name):
        if named.startswith(LOCAL):
            return local_folder(models_root, named)
    if spec.name.startswith(_HUB):
        return home(spec.name, "default", models_root)
    if spec.is_random:
        return None
    if spec.weights != "default" or "." not in spec.name:
        raise RecipeError(
            f"{title(spec)}: which weights? A name with its tag says so, such as "
            'name = "vit_small_patch14_dinov2.lvd142m"; a directory of your own is weights = '
            '"local-dir:NAME", NAME under the models root.'
        )
    return home(f"{_HUB}timm/{spec.name}", "default", models_root)


def _architecture(spec: ModelSpec, config: Path, said: str) -> str:
    require_architecture(said)
    says_none = spec.name == "default" or spec.name.startswith((_HUB, LOCAL))
    if says_none or spec.name.partition(".")[0] == said.partition(".")[0]:
        return said
    raise RecipeError(
        f"The recipe asks for timm {spec.name!r}, but {config} is of {said!r}. "
        f"Set name = {said!r}, or name another directory."
    )


def _weights(spec: ModelSpec, folder: Path | None) -> Path | None:
    if spec.is_random or folder is None:
        return None
    weights = folder / WEIGHTS_NAME
    if not weights.is_file():
        raise WeightsMissing(title(spec), [weights], _remedy(spec, folder))
    return weights


def _remedy(spec: ModelSpec, folder: Path | None) -> str:
    if spec.weights.startswith(LOCAL) or spec.name.startswith(LOCAL):
        return (
            f"Copy {WEIGHTS_NAME} and {CONFIG_NAME} into {folder}, or set FEATUREMILL_MODELS to "
            "the directory that holds it."
        )
    name = spec.name if spec.name.startswith(_HUB) else f"{_HUB}timm/{spec.name}"
    at = f" --revision {spec.revision}" if spec.revision else ""
    return f"Fetch them with `featuremill models fetch {name}{at}`."


def _origin(spec: ModelSpec, folder: Path | None) -> str | None:
    """Return the commit of a fetched directory; raises WeightsMissing when another is wanted."""
    record = folder / ORIGIN_NAME if folder else None
    said = json.loads(record.read_text()) if record and record.is_file() else {}
    revision: str | None = said.get("revision")
    if spec.revision not in (None, revision):
        looked = f"{folder}, which is of commit {revision or 'unknown'}"
        raise WeightsMissing(title(spec), [looked], _remedy(spec, folder))
    return revision
