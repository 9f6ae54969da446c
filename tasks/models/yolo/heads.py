"""What the heads of v8, 11 and 26 put out, in one form.

v8 and 11 tell each side of a box as a distribution over 16 distances (`reg_max`), 26 as one
distance. v8 and 11 have one branch, whose boxes need non-maximum suppression; 26 has two, and the
one-to-one branch is the one that its predictions and its loss items come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from conf.errors import RecipeError
from tasks.models.identity import LibraryDiffers
from tasks.models.yolo.files import HEADS

if TYPE_CHECKING:
    import torch

Float32 = NDArray[np.float32]
HeadFamily = Literal["v8", "11", "26"]

_KNOWN = "ultralytics 8.4.190"
_BOXES, _SCORES, _MASKS = "boxes", "scores", "mask_coefficient"


@dataclass(frozen=True, eq=False)
class Head:
    """What a head says of one image. A is the number of anchors: coarser strides after finer."""

    boxes: Float32
    """(4 * reg_max, A): logits of distances left, top, right, bottom; with reg_max 1 the distances
    themselves, in strides."""
    scores: Float32
    """(C, A): logits of the classes."""
    mask_coefficients: Float32 | None = None
    """(32, A)."""
    proto: Float32 | None = None
    """(32, S/4, S/4)."""
    semantic: Float32 | None = None
    """(C, S/8, S/8): class logits of every place, which YOLO26 is also trained for."""


@dataclass(frozen=True, eq=False)
class Raw:
    """What a forward pass of a batch gave, as tensors on the model's device."""

    module: Any
    """The head itself."""
    outputs: Mapping[str, Any]
    """What the head returns in training."""
    features: Mapping[int, "torch.Tensor"]
    """(B, C, h, w) of each layer that was asked for."""

    def __len__(self) -> int:
        return len(self.branch[_SCORES])

    @property
    def branch(self) -> Mapping[str, Any]:
        """The branch that predictions and loss items come from."""
        found: Mapping[str, Any] = self.outputs.get("one2one", self.outputs)
        return found

    def head(self, image: int, *, semantic: bool = True) -> Head:
        """Return what the head says of one image, as float32 arrays."""
        branch, proto = self.branch, self.branch.get("proto")
        with_semantic = semantic and has_semantic(self.module)
        return Head(
            boxes=_array(branch[_BOXES][image]),
            scores=_array(branch[_SCORES][image]),
            mask_coefficients=_array(branch[_MASKS][image]) if proto is not None else None,
            proto=_array(proto[image]) if proto is not None else None,
            semantic=_array(self.semantic(image)[0]) if with_semantic else None,
        )

    def decoded(self, image: int) -> tuple[Float32, Float32]:
        """Return the sides (4, A) in grid cells and the roots of the scores (C, A), bit by bit
        those that the stock criterion assigns by."""
        import torch

        sides = self.branch[_BOXES][image : image + 1].float().permute(0, 2, 1).contiguous()
        if (reg_max := self.module.reg_max) > 1:
            bins = torch.arange(reg_max, dtype=torch.float, device=sides.device)
            sides = sides.view(1, -1, 4, reg_max).softmax(3).matmul(bins)
        roots = self.branch[_SCORES][image].float().sigmoid().pow(0.5)
        return _array(sides[0].T.contiguous()), _array(roots.contiguous())

    def preds(self, image: int) -> dict[str, Any]:
        """Return what the stock criterion takes of one image: a batch of one, as in training."""
        if "one2one" not in self.outputs:
            return self._one(self.outputs, image)
        return {name: self._one(branch, image) for name, branch in self.outputs.items()}

    def _one(self, branch: Mapping[str, Any], image: int) -> dict[str, Any]:
        one = {name: value[image : image + 1].float()
               for name, value in branch.items() if name != "feats"}  # fmt: skip
        if has_semantic(self.module):
            one["proto"] = (one["proto"], self.semantic(image).float())
        # The criterion looks at the features' shapes only.
        return one | {"feats": [level[image : image + 1] for level in branch["feats"]]}

    def semantic(self, image: int) -> "torch.Tensor":
        """Return the semantic logits (1, C, S/8, S/8) of one image.

        The module makes them in training only, where its prototypes would be made once more: these
        are its own layers, called as it calls them.
        """
        import torch
        from torch.nn.functional import interpolate

        proto, levels = self.module.proto, self.branch["feats"]
        with torch.no_grad():
            found = levels[0][image : image + 1]
            for number, refine in enumerate(proto.feat_refine):
                coarse = refine(levels[number + 1][image : image + 1])
                found = found + interpolate(coarse, scale_factor=2 ** (number + 1), mode="nearest")
            semantic: torch.Tensor = proto.semseg(found)
        return semantic


def _array(tensor: "torch.Tensor") -> Float32:
    array: Float32 = tensor.detach().float().cpu().numpy()
    return array


def has_semantic(module: Any) -> bool:
    """Return whether the head is also trained to name the class of every place."""
    return getattr(getattr(module, "proto", None), "semseg", None) is not None


def family_of(module: Any) -> HeadFamily:
    """Return which family the head is of; raises RecipeError for one that is not adapted."""
    ends = getattr(module, "one2one_cv2", None) is not None
    if type(module).__name__ in HEADS:
        if ends and module.reg_max == 1:
            return "26"
        if not ends and module.reg_max > 1:
            return "v8" if module.legacy else "11"
    raise RecipeError(
        f"The head {type(module).__name__} with reg_max = {module.reg_max} and "
        f"{'two branches' if ends else 'one branch'} is of none of the families v8, 11 and 26. "
        "Take a model of those."
    )


def components_of(module: Any) -> tuple[str, ...]:
    """Return the names of the loss components, such as ("box", "cls", "dfl", "seg")."""
    found: tuple[str, ...] = ("box", "cls", "dfl" if module.reg_max > 1 else "l1")
    if hasattr(module, "proto"):
        found += ("seg",)
    return (*found, "sem") if has_semantic(module) else found


def check_outputs(outputs: Any, family: HeadFamily, task: str) -> None:
    """Raise LibraryDiffers unless the head returned what it does in the version we know."""
    branches = ["one2many", "one2one"] if family == "26" else []
    found = outputs if isinstance(outputs, dict) else {}
    for branch in [found.get(name, {}) for name in branches] or [found]:
        wanted = {_BOXES, _SCORES, "feats", *([_MASKS, "proto"] if task == "segment" else [])}
        if missing := sorted(wanted - branch.keys()):
            raise LibraryDiffers(
                f"The installed Ultralytics returns no {', '.join(missing)} from its {family} "
                f"head; the adapter knows {_KNOWN}. Install that version."
            )
