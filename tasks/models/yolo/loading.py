"""Networks of Ultralytics from their files, built anew: nothing of a checkpoint but its numbers and
its architecture is used."""

import hashlib
import io
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from conf.errors import RecipeError
from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.models.devices import choose_device, exact_float32, require_precision
from tasks.models.identity import WeightsDiffer, WeightsUnreadable, seed_of, title
from tasks.models.yolo.detector import Detector
from tasks.models.yolo.files import (
    Architecture,
    find_files,
    identify,
    read_architecture,
    task_of,
)

if TYPE_CHECKING:
    import torch

DEFAULT_SIZE_PX = 640

_LOADED: dict[tuple[ModelSpec, str, Path, int, tuple[int, ...]], Detector] = {}
_LOADING = threading.RLock()


def load_detector(
    spec: ModelSpec,
    runtime: Runtime,
    size_px: int = DEFAULT_SIZE_PX,
    layers: Sequence[int] = (),
) -> Detector:
    """Return the detector of a resolved `spec` for squares of `size_px`, loaded once per process.

    `layers` are those whose features every forward pass keeps; empty: those that feed the head.
    Raises RecipeError, WeightsMissing, WeightsDiffer and WeightsUnreadable.
    """
    wanted = (spec, runtime.device, runtime.models, size_px, tuple(layers))
    with _LOADING:
        if wanted not in _LOADED:
            _LOADED[wanted] = new_detector(spec, runtime, size_px, layers)
        return _LOADED[wanted]


def new_detector(
    spec: ModelSpec,
    runtime: Runtime,
    size_px: int = DEFAULT_SIZE_PX,
    layers: Sequence[int] = (),
) -> Detector:
    """Return what `load_detector` returns, loaded anew: nobody else holds it, so it may be
    changed."""
    if not spec.is_resolved:
        raise RecipeError(
            f"{title(spec)} is to be loaded, but its spec does not say which weights and library: "
            "pass it through `resolve` first."
        )
    device = choose_device(runtime.device)
    require_precision(spec, device)
    identify(spec, runtime.models)  # the files are still those that the spec names
    with _LOADING, _quiet_library():
        net = _net(spec, runtime.models)
    exact_float32()
    net.to(device)
    return Detector(net, spec, device, size_px, tuple(layers))


@contextmanager
def _quiet_library() -> Iterator[None]:
    """Import Ultralytics for the first time with its settings in a folder that goes again.

    At import it looks for the network and talks, unless told not to, and changes how numpy prints.
    """
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    folder, printing = None, np.get_printoptions()
    if "YOLO_CONFIG_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="featuremill-ultralytics-")
        os.environ["YOLO_CONFIG_DIR"] = folder
    try:
        import ultralytics.nn.tasks  # noqa: F401

        yield
    finally:
        np.set_printoptions(**printing)
        if folder:
            del os.environ["YOLO_CONFIG_DIR"]
            shutil.rmtree(folder, ignore_errors=True)


def _net(spec: ModelSpec, models_root: Path) -> Any:
    found = find_files(spec, models_root)
    if found.checkpoint:
        architecture, weights = _open_checkpoint(spec, found.checkpoint)
        return _filled(build_net(architecture, title(spec)), weights, found.checkpoint)
    architecture = read_architecture(spec, found)
    if found.weights is None:
        return build_net(architecture, title(spec), seed=seed_of(spec))
    return _filled(build_net(architecture, title(spec)), _tensors(found.weights), found.weights)


def _tensors(path: Path) -> Mapping[str, "torch.Tensor"]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as problem:
        raise WeightsUnreadable(
            f"{path} is no file of safetensors: {problem}. Copy it anew, and whole."
        ) from problem


def build_net(architecture: Architecture, model: str, seed: int = 0) -> Any:
    """Return the network of `architecture` with random weights, all told by `seed`."""
    import torch
    from ultralytics.nn.tasks import DetectionModel, SegmentationModel

    kind: Any = SegmentationModel if task_of(architecture, model) == "segment" else DetectionModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = kind(dict(architecture), ch=3, verbose=False)
    if names := architecture.get("names"):
        net.names = _names(names, net.model[-1].nc)
    return net


def _names(names: Sequence[str] | Mapping[int, str], classes: int) -> dict[int, str]:
    """Return class names by id; Ultralytics writes them as a list or as a table."""
    found = dict(names) if isinstance(names, Mapping) else dict(enumerate(names))
    if sorted(found) != list(range(classes)):
        raise WeightsUnreadable(
            f"An architecture of {classes} classes names {len(found)}: {found}."
        )
    return {number: str(found[number]) for number in range(classes)}


def _filled(net: Any, weights: Mapping[str, "torch.Tensor"], path: Path) -> Any:
    try:
        net.load_state_dict({name: tensor.float() if tensor.is_floating_point() else tensor
                             for name, tensor in weights.items()})  # fmt: skip
    except RuntimeError as problem:
        told = str(problem).replace("\n\t", " ")
        raise WeightsUnreadable(
            f"{path} does not hold the weights of its architecture: {told[:300]}. A model that was "
            "fused or exported cannot be taken; take the checkpoint it was made of."
        ) from problem
    return net


def _open_checkpoint(
    spec: ModelSpec, path: Path
) -> tuple[Architecture, Mapping[str, "torch.Tensor"]]:
    """Return architecture and weights of a .pt, whose very bytes have the pinned sha256."""
    import torch

    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != spec.sha256:
        raise WeightsDiffer(
            f"The recipe pins sha256 {spec.sha256} for {title(spec)}, {path} has {found}. It was "
            "not opened. Put the pinned file in its place."
        )
    try:
        # A pickle of whole modules: it runs, and may, because the recipe pins these very bytes.
        read = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    except (RuntimeError, EOFError, ImportError, AttributeError, _unpickling()) as problem:
        raise WeightsUnreadable(f"{path} is no checkpoint of Ultralytics: {problem}.") from problem
    module = (read.get("ema") or read.get("model")) if isinstance(read, dict) else None
    if not isinstance(getattr(module, "yaml", None), dict):
        raise WeightsUnreadable(
            f"{path} is no checkpoint of Ultralytics: it holds no model with its architecture."
        )
    architecture = cast(Architecture, dict(module.yaml))  # type: ignore[union-attr]
    architecture["nc"] = architecture.get("nc", 80)
    architecture["names"] = module.names  # type: ignore[union-attr]
    task_of(architecture, title(spec))
    return architecture, module.state_dict()  # type: ignore[union-attr]


def _unpickling() -> type[Exception]:
    import pickle

    return pickle.UnpicklingError
