"""A detector: a network of Ultralytics, called as a plain module."""

import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from conf.detections import Thresholds
from conf.models import ModelSpec
from tasks.compute.losses.targets import Targets, stock_batch
from tasks.models.devices import arithmetic, module_fingerprint
from tasks.models.yolo.files import check_layers
from tasks.models.yolo.heads import (
    Head,
    HeadFamily,
    Raw,
    check_outputs,
    components_of,
    family_of,
)
from tasks.models.yolo.letterbox import Letterboxed, letterbox
from tasks.models.yolo.predictions import Anchors, Predictions, predict

if TYPE_CHECKING:
    import torch

__all__ = ["Detector", "Head", "Letterboxed", "Predictions", "Raw", "Thresholds"]

Float32 = NDArray[np.float32]


class Detector:
    """A network that finds objects in squares of one size. Every method may be called from several
    threads at once."""

    def __init__(
        self, net: Any, spec: ModelSpec, device: str, size_px: int, layers: tuple[int, ...]
    ) -> None:
        """Take `net`, already on `device`, and freeze it: no gradients, batch norms as trained."""
        self.net = net.eval().requires_grad_(requires_grad=False)
        self.spec, self.device, self.size_px = spec, device, size_px
        module = net.model[-1]
        self.family: HeadFamily = family_of(module)
        self.task = "segment" if hasattr(module, "proto") else "detect"
        self.components = components_of(module)
        self.names: tuple[str, ...] = tuple(net.names[number] for number in range(module.nc))
        self.reg_max: int = module.reg_max
        self.strides: tuple[int, ...] = tuple(int(stride) for stride in module.stride.tolist())
        self.layers = layers or tuple(module.f)
        self.fingerprint = module_fingerprint(net)
        # The head alone, not what it consists of: it then returns what it computed and decodes
        # nothing, of which most would be thrown away; its batch norms stay as they are.
        module.training = True
        self._anchors = Anchors.of(size_px, self.strides)
        self._captured = threading.local()
        check_layers(spec, self.layers, len(net.model), tuple(module.f))
        for layer in self.layers:
            net.model[layer].register_forward_hook(self._capture(layer))

    def _capture(self, layer: int) -> Callable[..., None]:
        captured = self._captured

        def hook(module: Any, given: Any, output: Any) -> None:
            kept = getattr(captured, "features", None)
            if kept is not None:  # None: somebody calls the network itself
                kept[layer] = output

        return hook

    def letterbox(self, rgb: NDArray[np.uint8], out: Float32 | None = None) -> Letterboxed:
        """Return `rgb`, (height, width, 3), in the detector's square, its pixels in `out`."""
        return letterbox(rgb, self.size_px, out)

    def forward(self, pixels: "Float32 | torch.Tensor") -> Raw:
        """Return what the head says of `pixels`, (B, 3, S, S) from 0 to 1."""
        import torch

        self._captured.features = {}
        with arithmetic(self.device, self.spec.precision):
            given = torch.as_tensor(pixels).to(self.device, torch.float32)
            outputs = self.net._predict_once(given)
        check_outputs(outputs, self.family, self.task)
        features: Mapping[int, torch.Tensor] = self._captured.features
        del self._captured.features
        return Raw(self.net.model[-1], outputs, features)

    def predictions(
        self, raw: Raw, image: int, thresholds: Thresholds | None = None
    ) -> Predictions:
        """Return the detections of one image of the batch."""
        return predict(raw, image, self._anchors, self.reg_max, thresholds or Thresholds())

    @cached_property
    def criterion(self) -> Any:
        """The stock criterion, with the gains of Ultralytics' defaults: a checkpoint's own gains
        would make the losses of two models incomparable."""
        from ultralytics.cfg import get_cfg

        self.net.args = get_cfg()
        return self.net.init_criterion()

    def stock_losses(self, raw: Raw, image: int, targets: Targets) -> dict[str, float]:
        """Return the items of the stock criterion for one image of the batch, by component."""
        import torch

        batch = {
            name: torch.from_numpy(values).to(self.device)
            for name, values in stock_batch(targets, self.size_px).items()
        }
        preds = raw.preds(image)
        with torch.no_grad():
            if self.family == "26":  # its items come from this branch alone
                _, items = self.criterion.one2one.loss(preds["one2one"], batch)
            else:
                _, items = self.criterion(preds, batch)
        return {name: float(items[f"{name}_loss"]) for name in self.components}
