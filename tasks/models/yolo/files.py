"""Which files a model of Ultralytics consists of, and what they are. Imports no model library."""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from conf.errors import RecipeError, did_you_mean
from conf.keys import sha256_of
from conf.machine import package_version
from conf.models import ModelSpec
from tasks.models.identity import (
    LOCAL,
    LibraryMissing,
    Sha256,
    WeightsMissing,
    WeightsUnreadable,
    file_sha256,
    seed_of,
    settled,
    title,
)

POCKET = "pocket-segmenter"
POCKET_FOLDER = Path(__file__).parent.parent / "pocket_segmenter"
WEIGHTS_NAME, ARCHITECTURE_NAME = "model.safetensors", "model.yaml"

_DISTRIBUTIONS = ("ultralytics-opencv-headless", "ultralytics")
_FAMILIES = ("v8", "11", "26")
_SCALED = re.compile(r"(?P<stem>yolov?\d+)(?P<scale>[nslmx])(?P<rest>-.*)?")
HEADS = {"Detect": "detect", "Segment": "segment", "Segment26": "segment"}
"""Heads that are adapted, and what they do."""
_UNSUPPORTED = {
    "Classify": "a classification model, which finds no objects",
    "OBB": "a model of rotated boxes",
    "OBB26": "a model of rotated boxes",
    "Pose": "a pose model",
    "Pose26": "a pose model",
    "RTDETRDecoder": "an RT-DETR model, which has no anchors",
    "SemanticSegment": "a model of semantic segmentation, which finds no objects",
    "Depth": "a depth model",
    "v10Detect": "a YOLOv10 model",
}

Architecture = dict[str, Any]


@dataclass(frozen=True)
class ModelFiles:
    """Where a model lies; either a checkpoint, or an architecture with or without weights."""

    checkpoint: Path | None = None
    """A .pt of Ultralytics: a pickle, so that to open it is to run it."""
    architecture: Path | None = None
    weights: Path | None = None
    """Safetensors; None with an architecture means random weights."""


def identify(spec: ModelSpec, models_root: Path, sha256: Sha256 = file_sha256) -> ModelSpec:
    """Return `spec` with its checksum and library filled in; no model is opened.

    Raises RecipeError for a model that cannot be adapted and for a checkpoint without a pinned
    sha256, WeightsMissing, WeightsDiffer, LibraryMissing and LibraryDiffers.
    """
    found = find_files(spec, models_root)
    if found.checkpoint:
        return settled(spec, sha256=_pinned(spec, found.checkpoint, sha256), library=library())
    task_of(read_architecture(spec, found), title(spec))
    assert found.architecture is not None
    content = {
        "architecture": sha256(found.architecture),
        "weights": sha256(found.weights) if found.weights else f"random:{seed_of(spec)}",
    }
    return settled(spec, sha256=sha256_of(content), library=library())


def library() -> str:
    """Return "ultralytics==VERSION", whichever of its distributions is installed."""
    for name in _DISTRIBUTIONS:
        if found := package_version(name):
            return f"ultralytics=={found}"
    raise LibraryMissing(
        "The package ultralytics-opencv-headless is not installed. Install it with "
        '`pip install "featuremill[yolo]"`; it is under AGPL-3.0.'
    )


def _pinned(spec: ModelSpec, checkpoint: Path, sha256: Sha256) -> str:
    found = sha256(checkpoint)
    if spec.sha256 is None:
        raise RecipeError(
            f"{checkpoint} is a pickle: whoever opens it runs what its author wrote. Get its "
            "sha256 from those you have it from, and pin it with model.sha256. The file here has "
            f"{found}."
        )
    return found


def find_files(spec: ModelSpec, models_root: Path) -> ModelFiles:
    """Return the files that `spec` means; raises WeightsMissing and RecipeError."""
    if spec.name == POCKET:
        return _pocket(spec)
    if spec.weights.startswith(LOCAL):
        return _in_folder(spec, _within(models_root, spec.weights.removeprefix(LOCAL)))
    if spec.is_random:
        seed_of(spec)  # refuses what is no number
        return ModelFiles(architecture=_architecture_file(spec, models_root))
    if spec.weights != "default":
        raise RecipeError(
            f"{spec.weights!r} names no weights of a yolo model. Say {LOCAL}NAME (a directory "
            "under the models root), random:SEED, or leave it out for NAME.pt under the models "
            "root."
        )
    return _checkpoint(spec, models_root)


def _pocket(spec: ModelSpec) -> ModelFiles:
    if spec.weights != "default":
        raise RecipeError(f"{POCKET} has its own weights only: leave out model.weights.")
    paths = POCKET_FOLDER / ARCHITECTURE_NAME, POCKET_FOLDER / WEIGHTS_NAME
    if not all(path.is_file() for path in paths):
        train = "python -m tasks.models.train_pocket_segmenter"
        raise WeightsMissing(title(spec), [POCKET_FOLDER], f"Train it: `{train}`.")
    return ModelFiles(architecture=paths[0], weights=paths[1])


def _in_folder(spec: ModelSpec, folder: Path) -> ModelFiles:
    architecture, weights = folder / ARCHITECTURE_NAME, folder / WEIGHTS_NAME
    if architecture.is_file() and weights.is_file():
        return ModelFiles(architecture=architecture, weights=weights)
    checkpoints = sorted(folder.glob("*.pt"))
    if len(checkpoints) != 1:
        raise WeightsMissing(
            title(spec),
            [folder],
            f"It needs {WEIGHTS_NAME} and {ARCHITECTURE_NAME}, or one .pt; it has "
            f"{len(checkpoints)} of those.",
        )
    return ModelFiles(checkpoint=checkpoints[0])


def _checkpoint(spec: ModelSpec, models_root: Path) -> ModelFiles:
    name = spec.name.removesuffix(".pt") + ".pt"
    places = [
        _within(models_root, name),
        _within(models_root, f"{name.removesuffix('.pt')}/{name}"),
    ]
    for place in places:
        if place.is_file():
            return ModelFiles(checkpoint=place)
    raise WeightsMissing(
        title(spec),
        places,
        "Ultralytics publishes its checkpoints at github.com/ultralytics/assets/releases: put the "
        "file there and pin its sha256 with model.sha256.",
    )


def _within(models_root: Path, name: str) -> Path:
    root = models_root.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or path == root:
        raise RecipeError(f"{name!r} leads out of the models root {models_root}.")
    return path


def _architecture_file(spec: ModelSpec, models_root: Path) -> Path:
    if spec.name.endswith(".yaml"):
        path = _within(models_root, spec.name)
        if not path.is_file():
            raise WeightsMissing(title(spec), [path], "Put the architecture there.")
        return path
    shipped = _shipped_architectures()
    named = _SCALED.fullmatch(spec.name)
    stem = f"{named['stem']}{named['rest'] or ''}" if named else None
    if stem not in shipped:
        raise RecipeError(
            f"Ultralytics ships no architecture {spec.name!r} of the families "
            f"{', '.join(_FAMILIES)}. {did_you_mean(spec.name, _known_names(shipped))}"
        )
    return shipped[stem]


def _shipped_architectures() -> dict[str, Path]:
    """Return the architecture files of the installed package by stem, such as "yolo11-seg"."""
    found = importlib.util.find_spec("ultralytics")
    if found is None or not found.submodule_search_locations:
        library()  # says how to install it
        return {}
    models = Path(next(iter(found.submodule_search_locations))) / "cfg" / "models"
    return {p.stem: p for family in _FAMILIES for p in sorted((models / family).glob("yolo*.yaml"))}


def _known_names(shipped: Mapping[str, Path]) -> list[str]:
    """Return what may be said, with the smallest scale for example: "yolo11n-seg"."""
    stems = [re.fullmatch(r"(yolov?\d+)(-.*)?", stem) for stem in shipped]
    return [f"{found[1]}n{found[2] or ''}" for found in stems if found]


def read_architecture(spec: ModelSpec, found: ModelFiles) -> Architecture:
    """Return the architecture as Ultralytics takes it, its scale filled in from the name.

    Raises WeightsUnreadable for what is no architecture.
    """
    import yaml

    path = found.architecture
    assert path is not None
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise WeightsUnreadable(f"{path} is not YAML: {problem}.") from problem
    if not isinstance(read, dict) or not {"backbone", "head", "nc"} <= read.keys():
        raise WeightsUnreadable(
            f"{path} is no architecture of Ultralytics: it wants nc, backbone and head."
        )
    architecture = cast(Architecture, read)
    if spec.is_random and (named := _SCALED.fullmatch(spec.name)):
        architecture["scale"] = named["scale"]
    scales = architecture.get("scales")
    if scales and architecture.get("scale") not in scales:
        raise WeightsUnreadable(
            f"{path} has the scales {', '.join(scales)} and does not say which is meant. Add "
            f"`scale: {next(iter(scales))}`."
        )
    return architecture | {"yaml_file": path.name}


def canonical_layers(
    spec: ModelSpec, models_root: Path, layers: tuple[int, ...]
) -> tuple[int, ...]:
    """Return `layers`, or nothing when they are those that feed the head: what is the same has one
    name. Of a checkpoint that cannot be known before it is opened.

    Raises RecipeError for a layer that is not there.
    """
    found = find_files(spec, models_root)
    if found.checkpoint or not layers:
        return layers
    architecture = read_architecture(spec, found)
    feeding = tuple(architecture["head"][-1][0])
    check_layers(spec, layers, len(architecture["backbone"]) + len(architecture["head"]), feeding)
    return () if layers == feeding else layers


def check_layers(
    spec: ModelSpec, layers: Sequence[int], count: int, feeding: Sequence[int]
) -> None:
    """Raise RecipeError unless all `layers` lie before the head, the last of `count` layers."""
    for layer in layers:
        if layer >= count - 1:
            raise RecipeError(
                f"layers: there is no layer {layer} before the head of {spec.name}, which is layer "
                f"{count - 1}. Those that feed the head are {list(feeding)}."
            )


def task_of(architecture: Architecture, model: str) -> str:
    """Return "detect" or "segment", by the head; raises RecipeError for any other head."""
    head = str(architecture["head"][-1][2])
    if head not in HEADS:
        what = _UNSUPPORTED.get(head, f"a model with the head {head}")
        raise RecipeError(
            f"{model} is {what}. Take a detection or segmentation model of YOLOv8, YOLO11 or "
            'YOLO26, such as name = "yolo11n-seg".'
        )
    return HEADS[head]
