"""Stores with detections in a few rendered scenes, by a model with scattered random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conf.detections import DetectionRecipe, Thresholds
from conf.images import ImageRecipe
from conf.losses import LossClustersRecipe, LossMatrixRecipe
from conf.models import ModelSpec
from conf.runtime import Runtime
from conf.sources.cells import Source
from storage.dataset import Ledger
from storage.drafts import Making
from storage.publishing import driving, seal
from storage.store import Artifact, ArtifactStore
from tasks.dataset import keep_ledger, scan_source
from tasks.detections import detect_part, detection_making
from tasks.images import encode_part
from tasks.losses import make_losses, matrix_making
from tasks.losses.groups import find_groups, inputs_of
from tasks.models.load import resolve
from tasks.models.yolo import load_detector

SIZE_PX = 192
LAYERS = (16, 19, 22)


class World:
    """A store, and what it takes to fill it without a server."""

    def __init__(self, path: Path, name: str = "yolo11n-seg") -> None:
        self.store = ArtifactStore(path / "store")
        self.runtime = Runtime(
            store=path / "store", models=path / "models", device="cpu", lanes=1, progress=False,
            part_rows=3, workers=2,
        )  # fmt: skip
        spec = ModelSpec(family="yolo", name=name, weights="random:0", precision="fp32")
        self.model = resolve(spec, self.runtime)
        scatter(load_detector(self.model, self.runtime, SIZE_PX, LAYERS))

    def make(self, making: Making, task: Any, *inputs: Any, **given: Any) -> Artifact:
        rows, runtime = self.runtime.part_rows, self.runtime
        with driving(self.store, making, part_rows=rows) as draft:
            for part in draft.pending() if draft else ():
                task.fn(making.recipe, *inputs, part=part, runtime=runtime, **given)
            return seal(self.store, making.key)

    def detections(self, source: Source) -> tuple[Artifact, Ledger, Artifact]:
        ledger = scan_source.fn(source, runtime=self.runtime)
        dataset = self.make(Making(ledger.recipe, {}, ("ledger",)), keep_ledger, ledger=ledger)
        recipe = DetectionRecipe(
            model=self.model, size_px=SIZE_PX, layers=LAYERS, thresholds=Thresholds(max_det=12)
        )
        making = detection_making(recipe, ledger)
        found = self.make(making, detect_part, dataset, annotations=None, source=source)
        return dataset, ledger, found

    def matrix(self, count: int, part_rows: int | None = None, **settings: Any) -> Artifact:
        source = Source(count=count, size_px=SIZE_PX)
        dataset, ledger, found = self.detections(source)
        recipe = LossMatrixRecipe(
            model=self.model, size_px=SIZE_PX, thresholds=Thresholds(max_det=12), **settings
        )
        making = matrix_making(recipe, self.store.key_of(found), ledger.contents)
        given = self.runtime
        if part_rows:
            self.runtime = given.model_copy(update={"part_rows": part_rows, "take_over": False})
        try:
            return self.make(making, make_losses, found, dataset=dataset, source=source)
        finally:
            self.runtime = given

    def encoded(self, count: int) -> Artifact:
        """Return features of the scenes by the toy encoder."""
        source = Source(count=count, size_px=SIZE_PX)
        dataset, ledger, _ = self.detections(source)
        model = resolve(ModelSpec(family="toy", precision="fp32"), self.runtime)
        making = Making(ImageRecipe(model=model), {"content": ledger.content}, ledger.contents)
        return self.make(making, encode_part, dataset, source=source)

    def groups(self, matrix: Artifact, count: int, images: Artifact | None = None) -> Artifact:
        source = Source(count=count, size_px=SIZE_PX)
        dataset, _, found = self.detections(source)
        recipe = LossClustersRecipe(min_cluster_size=2, neighbours=2)
        keys = inputs_of(self.store.key_of(matrix), self.store.key_of(images) if images else None)
        return self.make(
            Making(recipe, keys, ("groups",)), find_groups, matrix, images,
            detections=found, dataset=dataset, source=source,
        )  # fmt: skip


def scatter(detector: Any) -> None:
    """Make a fresh head say other things at other places, and be sure of some of them."""
    import torch

    drawn = torch.Generator().manual_seed(0)
    module = detector.net.model[-1]
    for branches in ("cv2", "cv3", "cv4", "one2one_cv2", "one2one_cv3", "one2one_cv4"):
        for level in getattr(module, branches, None) or ():
            last = level[-1]
            spread = 10 if branches.endswith("cv3") else 3
            last.weight.data = torch.randn(last.weight.shape, generator=drawn) * spread
            if branches.endswith("cv3"):
                last.bias.data[:] = -1.0  # near the threshold of 0.25


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("losses"))


@pytest.fixture
def new_world(tmp_path: Path) -> Callable[..., World]:
    return lambda name="yolo11n-seg": World(tmp_path, name)
