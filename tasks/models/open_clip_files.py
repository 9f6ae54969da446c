"""Where the files of an open_clip model lie on this machine. Imports no model library."""

import ast
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

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

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAMES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
)
"""In the order of preference; any other *.safetensors, *.bin, *.pt or *.pth comes after them."""
ORIGIN_NAME = "featuremill-origin.json"
"""Written by `models fetch` beside the weights: repository and revision."""

_TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model")
_HUB = "hf-hub:"


@dataclass(frozen=True)
class Found:
    """The files of one model."""

    weights: Path | None
    """None where they are random."""
    folder: Path | None
    """What holds the model's own configuration; None: the library's is used."""
    revision: str | None = None
    """The commit, where the files come from a hub repository."""


def find_files(spec: ModelSpec, models_root: Path) -> Found:
    """Return the files that `spec` names.

    Raises WeightsMissing, which says where was looked, and RecipeError for an unknown name.
    """
    if spec.weights.startswith(LOCAL):
        return _in_folder(spec, local_folder(models_root, spec.weights))
    if spec.name.startswith(LOCAL):
        return _in_folder(spec, local_folder(models_root, spec.name))
    if spec.name.startswith(_HUB):
        return _hub_files(spec, models_root)
    require_architecture(spec.name)
    return Found(None, None) if spec.is_random else _tag_files(spec, models_root)


def home(name: str, weights: str, models_root: Path) -> Path:
    """Return the directory under the models root in which fetched weights lie."""
    stem = name.removeprefix(_HUB) if name.startswith(_HUB) else f"{name}--{weights}"
    return models_root / stem.replace("/", "--")


def require_architecture(name: str) -> None:
    """Raise RecipeError unless open_clip has an architecture of that name."""
    known = [path.stem for path in (_library() / "model_configs").glob("*.json")]
    if name not in known:
        raise RecipeError(f"open_clip has no architecture {name!r}. {did_you_mean(name, known)}")


def tag_source(name: str, tag: str) -> dict[str, str]:
    """Return `url` and `hf_hub` (either may be missing) of a pretrained tag of an architecture."""
    require_architecture(name)
    tags = pretrained_tags().get(name, {})
    cleaned = tag.lower().replace("-", "_")
    if cleaned not in tags:
        raise RecipeError(
            f"open_clip has no weights {tag!r} for {name}. {did_you_mean(cleaned, tags)} A "
            'directory of your own is weights = "local-dir:NAME", NAME under the models root.'
        )
    return tags[cleaned]


@cache
def pretrained_tags() -> dict[str, dict[str, dict[str, str]]]:
    """Return {architecture: {tag: {"url": ..., "hf_hub": ...}}} of the installed open_clip.

    Read from its source text: importing it would cost ten seconds, and torch.
    """
    tables: dict[str, Any] = {}
    for node in ast.parse((_library() / "pretrained.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            tables[node.targets[0].id] = _said(node.value, tables)
    listed = cast(dict[str, dict[str, dict[str, str]]], tables["_PRETRAINED"])
    quick = {f"{name}-quickgelu": _quick_tags(tags) for name, tags in listed.items()}
    return listed | {name: tags for name, tags in quick.items() if tags}


def read_config(folder: Path) -> dict[str, Any]:
    """Return the model's own configuration; raises WeightsUnreadable when it would run code."""
    config: dict[str, Any] = json.loads((folder / CONFIG_NAME).read_text())
    if "model_cfg" not in config:
        raise WeightsUnreadable(
            f"{folder / CONFIG_NAME} has no model_cfg: it is no open_clip model."
        )
    if "trust_remote_code" in _names(config):
        raise WeightsUnreadable(
            f"{folder / CONFIG_NAME} asks to run code of its repository (trust_remote_code), which "
            "this adapter never does. Remove that line, or use a model that needs none."
        )
    return config


def configuration(spec: ModelSpec, found: Found) -> dict[str, Any]:
    """Return `model_cfg` (towers, sizes) of a model, its own or the library's."""
    if found.folder:
        own: dict[str, Any] = read_config(found.folder)["model_cfg"]
        return own
    path = _library() / "model_configs" / f"{spec.name}.json"
    listed: dict[str, Any] = json.loads(path.read_text())
    return listed


def tokenizer_folder(spec: ModelSpec, found: Found) -> Path | None:
    """Return the directory of the model's tokenizer, where the library has none built in."""
    if "hf_tokenizer_name" not in configuration(spec, found).get("text_cfg", {}):
        return None
    beside = found.folder or (found.weights and found.weights.parent)
    return beside if beside and (beside / "tokenizer_config.json").is_file() else None


def deciding_files(spec: ModelSpec, found: Found) -> list[Path]:
    """Return the files, other than the weights, that decide a feature: configuration, tokenizer."""
    own = [found.folder / CONFIG_NAME] if found.folder else []
    folder = tokenizer_folder(spec, found)
    return own + (
        [path for one in _TOKENIZER for path in sorted(folder.glob(one))] if folder else []
    )


def _in_folder(spec: ModelSpec, folder: Path) -> Found:
    own = folder if (folder / CONFIG_NAME).is_file() else None
    if own is None and spec.name.startswith((LOCAL, _HUB)):
        raise WeightsMissing(title(spec), [folder / CONFIG_NAME], _copy_there(folder))
    if own is None:
        require_architecture(spec.name)
    if spec.is_random:
        return Found(None, own)
    weights = _weights_in(folder)
    if weights is None:
        raise WeightsMissing(title(spec), [folder], _copy_there(folder))
    return Found(weights, own)


def _hub_files(spec: ModelSpec, models_root: Path) -> Found:
    repo = spec.name.removeprefix(_HUB)
    own = home(spec.name, spec.weights, models_root)
    for place in filter(None, (own, _hub_snapshot(repo, spec.revision))):
        origin = _origin(place)
        if (place / CONFIG_NAME).is_file() and spec.revision in (None, origin):
            return _with_revision(_in_folder(spec, place), origin)
    looked = (own, f"the Hugging Face cache ({_hub_cache()})")
    at = f" --revision {spec.revision}" if spec.revision else ""
    remedy = f"Fetch them with `featuremill models fetch {spec.name}{at}`."
    raise WeightsMissing(title(spec), looked, remedy)


def _tag_files(spec: ModelSpec, models_root: Path) -> Found:
    source = tag_source(spec.name, spec.weights)
    own = home(spec.name, spec.weights, models_root)
    weights = _weights_in(own)
    if weights and spec.revision in (None, _origin(own)):
        return Found(weights, None, _origin(own))
    repo, _, file = source.get("hf_hub", "").rpartition("/")
    snapshot = _hub_snapshot(repo, spec.revision) if repo else None
    if snapshot and (weights := _weights_in(snapshot, file)):
        return Found(weights, None, snapshot.name)
    clip = Path("~/.cache/clip").expanduser() / source.get("url", "").rpartition("/")[2]
    if source.get("url") and clip.is_file():
        return Found(clip, None)
    looked = (own, f"the Hugging Face cache ({_hub_cache()})", clip.parent)
    remedy = f"Fetch them with `featuremill models fetch {spec.name}/{spec.weights}`."
    raise WeightsMissing(title(spec), looked, remedy)


def _copy_there(folder: Path) -> str:
    return (
        f"Copy {CONFIG_NAME} and {WEIGHTS_NAMES[0]} into {folder}, or set FEATUREMILL_MODELS to "
        "the directory that holds it."
    )


def _with_revision(found: Found, revision: str | None) -> Found:
    return Found(found.weights, found.folder, revision)


def _weights_in(folder: Path, wanted: str = "") -> Path | None:
    """Return the weights file of `folder`: safetensors before the rest, `wanted` before others."""
    safe = Path(wanted).with_suffix(".safetensors").name if wanted else ""
    for name in filter(None, (safe, wanted, *WEIGHTS_NAMES)):
        if (folder / name).is_file():
            return folder / name
    others = (path for end in ("safetensors", "bin", "pt", "pth") for path in _by_end(folder, end))
    return None if wanted else next(others, None)


def _by_end(folder: Path, end: str) -> Iterator[Path]:
    yield from sorted(folder.glob(f"*.{end}"))


def _origin(folder: Path) -> str | None:
    """Return the commit of a fetched directory, or of a snapshot of the hub's cache."""
    record = folder / ORIGIN_NAME
    if record.is_file():
        revision: str | None = json.loads(record.read_text()).get("revision")
        return revision
    return folder.name if folder.parent.name == "snapshots" else None


def _hub_cache() -> Path:
    base = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface")
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(given or base / "hub").expanduser()


def _hub_snapshot(repo: str, revision: str | None) -> Path | None:
    """Return the directory of a repository's files in the hub's cache, without the network."""
    base = _hub_cache() / f"models--{repo.replace('/', '--')}"
    name = base / "refs" / (revision or "main")
    commit = name.read_text().strip() if name.is_file() else revision
    snapshot = base / "snapshots" / commit if commit else None
    return snapshot if snapshot and snapshot.is_dir() else None


def _library() -> Path:
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise LibraryMissing(
            "The package open_clip_torch is not installed. "
            'Install it with `pip install "featuremill[clip]"`.'
        )
    return Path(spec.origin).parent


def _said(node: ast.expr, tables: Mapping[str, Any]) -> Any:
    """Return what literals, known names and calls with keywords say; None for the rest."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return tables.get(node.id)
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            return {_said(key, tables): _said(value, tables) for key, value in pairs if key}
        case ast.Call():
            tables_given = [_said(argument, tables) for argument in node.args]
            start = tables_given[0] if tables_given and isinstance(tables_given[0], dict) else {}
            return start | {word.arg: _said(word.value, tables) for word in node.keywords}
        case _:
            return None


def _quick_tags(tags: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    return {tag: source for tag, source in tags.items() if source.get("quick_gelu")}


def _names(content: Any) -> set[str]:
    match content:
        case dict():
            return set(content).union(*(_names(value) for value in content.values()))
        case list():
            return set().union(*(_names(value) for value in content))
        case _:
            return set()
