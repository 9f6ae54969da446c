"""The pocket segmentation model, trained on rendered scenes:
`python -m tasks.models.train_pocket_segmenter --out FOLDER`.

Architecture, weights and card lie in `tasks/models/pocket_segmenter`. The scenes are those of a
seed that nothing else draws from; `python -m benchmarks.pocket_segmenter` scores the model on
scenes of others.
"""

import argparse
import copy
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from conf.models import ModelSpec
from storage.atomic import write_file
from storage.readers.cells.scene import picture, scene
from tasks.models.yolo.files import (
    ARCHITECTURE_NAME,
    POCKET,
    POCKET_FOLDER,
    WEIGHTS_NAME,
    ModelFiles,
    read_architecture,
)
from tasks.models.yolo.loading import build_net

if TYPE_CHECKING:
    import torch

TRAINING_SEED = 20_251
SIZE_PX = 320
MASK_STRIDE_PX = 4
_SIZES_PX = range(272, 385, 16)
_GREY = 114
_LEAST_SEEN = 0.3  # of a cell: what the crop leaves less of is no object


class Sample(NamedTuple):
    """A square of a scene, with what is seen in it."""

    pixels: NDArray[np.uint8]
    seen: NDArray[np.int64]
    """(SIZE_PX, SIZE_PX) 0 for the background, k + 1 for object k."""
    class_ids: NDArray[np.int64]


class Scenes:
    """Rendered scenes, each drawn once and then turned, mirrored and cut anew."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._drawn = np.random.default_rng(seed)
        self._kept: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]] = {}

    def batch(self, size: int) -> dict[str, "torch.Tensor"]:
        """Return `size` samples, as the criterion of Ultralytics takes them."""
        import torch

        samples = [self._sample() for _ in range(size)]
        boxes = [_boxes(sample) for sample in samples]
        pixels = np.stack([sample.pixels for sample in samples]).astype(np.float32) / 255
        middle = MASK_STRIDE_PX // 2
        masks = [sample.seen[middle::MASK_STRIDE_PX, middle::MASK_STRIDE_PX] for sample in samples]
        rows = {
            "img": pixels.transpose(0, 3, 1, 2),
            "masks": np.stack(masks).astype(np.float32),
            "cls": np.concatenate([sample.class_ids for sample in samples])[:, None],
            "bboxes": np.concatenate(boxes),
            "batch_idx": np.repeat(np.arange(size), [len(found) for found in boxes]),
        }
        return {name: torch.from_numpy(np.ascontiguousarray(rows[name])).float() for name in rows}

    def _scene(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
        if number not in self._kept:
            size_px = _SIZES_PX[number % len(_SIZES_PX)]
            found = scene(TRAINING_SEED, number, size_px)
            class_ids = np.array([cell.class_id for cell in found.cells], dtype=np.int64)
            pixels = picture(TRAINING_SEED, number, size_px)
            self._kept[number] = pixels, found.seen.astype(np.uint8), class_ids
        return self._kept[number]

    def _sample(self) -> Sample:
        pixels, seen, class_ids = self._scene(int(self._drawn.integers(self._count)))
        turns, mirrored = int(self._drawn.integers(4)), bool(self._drawn.integers(2))
        pixels, seen = np.rot90(pixels, turns), np.rot90(seen, turns)
        if mirrored:
            pixels, seen = pixels[:, ::-1], seen[:, ::-1]
        return self._cut(pixels, seen, class_ids)

    def _cut(
        self, pixels: NDArray[np.uint8], seen: NDArray[np.uint8], class_ids: NDArray[np.int64]
    ) -> Sample:
        """Return a square of SIZE_PX of a scene, or the scene in the middle of a grey one."""
        side_px = len(seen)
        if side_px <= SIZE_PX:
            left = (SIZE_PX - side_px) // 2
            pad = (left, SIZE_PX - side_px - left)
            pixels = np.pad(pixels, (pad, pad, (0, 0)), constant_values=_GREY)
            return Sample(pixels, np.pad(seen, (pad, pad)).astype(np.int64), class_ids)
        top, left = (int(start) for start in self._drawn.integers(side_px - SIZE_PX + 1, size=2))
        window = slice(top, top + SIZE_PX), slice(left, left + SIZE_PX)
        before = np.bincount(seen.ravel(), minlength=len(class_ids) + 1)[1:]
        after = np.bincount(seen[window].ravel(), minlength=len(class_ids) + 1)[1:]
        kept = after >= _LEAST_SEEN * before
        number = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)])
        return Sample(pixels[window], number[seen[window]], class_ids[kept])


def _boxes(sample: Sample) -> NDArray[np.float64]:
    """Return boxes (n, 4) as middle and size, in shares of the square."""
    found = ndimage.find_objects(sample.seen, max_label=len(sample.class_ids))
    edges = [(c.start, r.start, c.stop, r.stop) for r, c in found]
    corners = np.array(edges, dtype=np.float64).reshape(-1, 4) / SIZE_PX
    return np.concatenate(
        [(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1
    )


def new_net(seed: int) -> Any:
    """Return the pocket network with random weights, ready to be trained."""
    from ultralytics.cfg import get_cfg

    spec = ModelSpec(family="yolo", name=POCKET, precision="fp32")
    files = ModelFiles(architecture=POCKET_FOLDER / ARCHITECTURE_NAME)
    net = build_net(read_architecture(spec, files), POCKET, seed=seed)
    net.args = get_cfg()
    return net


def train(steps: int, batch_size: int, scenes: int, seed: int, out: Path) -> None:
    """Train the pocket model and write its weights, in half precision, into `out`.

    What is written is the moving average of the weights. One thread: the same machine gives the
    same weights, and processor time is not spent on waiting.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _train(steps, batch_size, scenes, seed, out)
    finally:
        torch.set_num_threads(threads)


def _train(steps: int, batch_size: int, scenes: int, seed: int, out: Path) -> None:
    import torch

    net = new_net(seed).train().to(memory_format=torch.channels_last)
    average = copy.deepcopy(net)
    optimizer = _optimizer(net)
    source = Scenes(scenes, seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, steps)
        batch = source.batch(batch_size)
        batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        loss, items = net.loss(batch)
        optimizer.zero_grad()
        loss.sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0 * batch_size)
        optimizer.step()
        _follow(average, net, min(0.996, (1 + step) / (10 + step)))
        if (step + 1) % 50 == 0 or step + 1 == steps:
            told = " ".join(f"{name} {float(value):.3f}" for name, value in items.items())
            minutes = time.process_time() / 60
            print(f"step {step + 1}/{steps}: {told}; {minutes:.1f} CPU minutes", flush=True)
            _write(average, out)


def _optimizer(net: Any) -> Any:
    import torch

    matrices = [p for p in net.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in net.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))


def _rate(step: int, steps: int) -> float:
    """Return the learning rate: up for 60 steps, then down along a cosine."""
    progress = step / steps
    return 3e-3 * min(1.0, (step + 1) / 60) * (0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2)


def _follow(average: Any, net: Any, decay: float) -> None:
    import torch

    with torch.no_grad():
        for mean, now in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.mul_(decay).add_(now, alpha=1 - decay)
            else:
                mean.copy_(now)


def _write(net: Any, out: Path) -> None:
    from safetensors.torch import save

    weights = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in net.state_dict().items()
    }
    write_file(out / WEIGHTS_NAME, save(weights))


def main() -> None:
    """Train as the command line says; the defaults made the weights that are shipped."""
    parser = argparse.ArgumentParser(description="Train the pocket segmentation model.")
    parser.add_argument("--out", type=Path, default=POCKET_FOLDER, help="where the weights go")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--scenes", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    train(given.steps, given.batch_size, given.scenes, given.seed, given.out)


if __name__ == "__main__":
    main()
