"""Where a model runs and with how many threads. torch is imported only by what needs it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from conf.errors import RecipeError, WorldError
from conf.machine import cores
from conf.models import ModelSpec, Precision

if TYPE_CHECKING:
    import torch


class DeviceMissing(WorldError):
    """The device that was asked for is not in this machine."""


def choose_device(wanted: str) -> str:
    """Return the device to run on: "auto" takes MPS, then CUDA, then the CPU.

    Raises DeviceMissing when a device is asked for by name and is not there.
    """
    present = _present()
    if wanted == "auto":
        return present[0]
    if wanted not in present:
        raise DeviceMissing(
            f"device = {wanted!r} was asked for; this machine has {', '.join(present)}. "
            'Set device = "auto" to take the first of them.'
        )
    return wanted


def require_precision(spec: ModelSpec, device: str, able: tuple[Precision, ...] = ()) -> None:
    """Raise RecipeError when `device` cannot compute in the precision of `spec`.

    `able` limits it further to what the model itself can do.
    """
    works = [one for one in _precisions(device) if not able or one in able]
    if spec.precision not in works:
        raise RecipeError(
            f"precision = {spec.precision!r} was asked of {spec.family} on {device}, which "
            f"computes {', '.join(works)}. Set precision = {works[-1]!r}, or run on another device."
        )


def enter_lane(device: str, *, lanes: int = 2) -> None:
    """Give this thread, one of `lanes` that encode side by side, its share of the processor cores.

    Call it first in every lane thread, after the model is loaded. torch keeps the number of its
    threads per calling thread; two lanes of one thread beat one loop of two, because neither waits
    at the other's barriers. A thread that has computed keeps its own number; a thread started later
    without `enter_lane` takes the number set last. Nothing happens when torch was never imported,
    or when the model runs on an accelerator.
    """
    torch = sys.modules.get("torch")
    if torch is not None and device == "cpu":
        torch.set_num_threads(max(1, cores() // lanes))


@contextmanager
def arithmetic(device: str, precision: Precision) -> Iterator[None]:
    """Run a forward pass without gradients, in the precision asked for.

    `no_grad`, not `inference_mode`: under the latter bf16 autocast on a CPU is 4 to 9 times slower.
    """
    import torch

    lowered = precision != "fp32"
    with torch.no_grad(), torch.autocast(device, torch_dtype(precision), enabled=lowered):
        yield


def torch_dtype(precision: Precision) -> "torch.dtype":
    """Return torch's type of that precision."""
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def exact_float32() -> None:
    """Make fp32 mean fp32 on CUDA, where convolutions else run in 19 bits (TF32)."""
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def module_fingerprint(*modules: "torch.nn.Module") -> str:
    """Return the sha256 over names, types, shapes and bytes of all weights and buffers."""
    from tasks.models.identity import fingerprint_of

    return fingerprint_of(
        (f"{index}.{name}", str(tensor.dtype), tuple(tensor.shape), _bytes(tensor))
        for index, module in enumerate(modules)
        for name, tensor in sorted(module.state_dict().items())
    )


def _bytes(tensor: Any) -> memoryview:
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy())


def _present() -> list[str]:
    import torch

    found = ["mps"] if torch.backends.mps.is_available() else []
    found += ["cuda"] if torch.cuda.is_available() else []
    return [*found, "cpu"]


def _precisions(device: str) -> list[Precision]:
    import torch

    if device == "cpu":
        return ["fp32", "bf16"]
    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return ["fp32", "fp16"]
    return ["fp32", "fp16", "bf16"]
