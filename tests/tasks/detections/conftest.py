"""A store with detections in rendered scenes, made by the real tasks without a server."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf.annotations import CellLabels
from conf.detections import DetectionRecipe, Thresholds
from conf.images import ImageRecipe
from conf.models import ModelSpec
from conf.runtime import Runtime
from conf.sources.cells import Source
from storage.annotations.tables import recipe_of
from storage.annotations.truth import Annotations
from storage.dataset import Ledger
from storage.detections import Detections
from storage.drafts import Making
from storage.publishing import driving, seal
from storage.readers.cells.kinds import KINDS
from storage.store import Artifact, ArtifactStore
from tasks.annotations import make_annotations, scan_labels
from tasks.dataset import keep_ledger, scan_source
from tasks.detections import detect_part, detection_making
from tasks.images import encode_part
from tasks.models.load import resolve
from tasks.models.yolo.loading import build_net

NAMES = [kind.name for kind in KINDS]
BACKBONE = [[-1, 1, "Conv", [width, 3, 2]] for width in (8, 8, 16, 16, 24)]
TINY = {
    "nc": len(NAMES),
    "names": NAMES,
    "backbone": BACKBONE,
    "head": [[[2, 3, 4], 1, "Segment", ["nc", 32, 16]]],
}
LOOSE = Thresholds(conf=0.9, iou=0.6, max_det=20)


@dataclass(frozen=True)
class Scene:
    """A store, and what it takes to make detections in it."""

    runtime: Runtime
    source: Source
    dataset: Artifact
    ledger: Ledger
    annotations: Artifact
    known: Annotations

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore(self.runtime.store)

    def recipe(self, **fields: Any) -> DetectionRecipe:
        spec = ModelSpec(family="yolo", weights="local-dir:tiny", precision="fp32")
        wanted: dict[str, Any] = {"size_px": 96, "thresholds": LOOSE} | fields
        return DetectionRecipe(model=resolve(spec, self.runtime), **wanted)

    def detect(
        self, recipe: DetectionRecipe | None = None, *, known: bool = True, part_rows: int = 4
    ) -> Detections:
        recipe = recipe or self.recipe()
        annotations = self.annotations if known else None
        key = self.store.key_of(self.annotations) if known else None
        making = detection_making(recipe, self.ledger, key, self.known if known else None)
        with driving(self.store, making, part_rows=part_rows) as draft:
            for part in draft.pending() if draft else ():
                self.detect_part(recipe, part, annotations)
        return Detections(self.store, seal(self.store, making.key))

    def detect_part(self, recipe: DetectionRecipe, part: str, annotations: Artifact | None) -> None:
        detect_part.fn(
            recipe,
            self.dataset,
            annotations=annotations,
            part=part,
            source=self.source,
            runtime=self.runtime,
        )

    def encode(self, family: str = "toy", **fields: Any) -> Artifact:
        """Return features of the same images: what an encoder makes."""
        model = resolve(ModelSpec(family=family, precision="fp32", **fields), self.runtime)
        making = Making(ImageRecipe(model=model), {"content": self.ledger.content},
                        self.ledger.contents)  # fmt: skip
        return _made(self.store, making, encode_part, [self.dataset], source=self.source,
                     runtime=self.runtime)  # fmt: skip


def _made(
    store: ArtifactStore, making: Making, task: Any, inputs: Sequence[Artifact], **given: Any
) -> Artifact:
    with driving(store, making) as draft:
        for part in draft.pending() if draft else ():
            task.fn(making.recipe, *inputs, part=part, **given)
    return seal(store, making.key)


def _write_model(folder: Path) -> None:
    """Write a tiny model that says something else everywhere: of random weights every anchor says
    the same, and nobody could tell which one a detection or a loss is of."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(yaml.safe_dump(TINY))
    net = build_net(TINY, "tiny").eval()
    drawn = torch.Generator().manual_seed(0)
    for branch, spread in (("cv2", 2.0), ("cv3", 2.0), ("cv4", 1.0)):
        for level in getattr(net.model[-1], branch):
            level[-1].weight.data = torch.randn(level[-1].weight.shape, generator=drawn)
            level[-1].bias.data.zero_()
            level[-1].register_forward_hook(_scale_to(spread))
    with torch.no_grad():
        net(torch.rand((1, 3, 96, 96), generator=drawn))
    weights = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    save_file(weights, folder / "model.safetensors")


def _scale_to(spread: float) -> Callable[..., None]:
    def hook(module: Any, given: Any, output: Any) -> None:
        module.weight.data *= spread / output.std()

    return hook


def _scene(folder: Path, count: int = 6) -> Scene:
    models = folder / "models"
    _write_model(models / "tiny")
    runtime = Runtime(store=folder / "store", models=models, device="cpu", progress=False,
                      lanes=2, batch_size=2)  # fmt: skip
    source, store = Source(count=count, size_px=80), ArtifactStore(folder / "store")
    ledger = scan_source.fn(source, runtime=runtime)
    dataset = _made(store, Making(ledger.recipe, {}, ("ledger",)), keep_ledger, [],
                    ledger=ledger, runtime=runtime)  # fmt: skip
    known = scan_labels.fn(CellLabels(), source, ledger, runtime=runtime)
    making = Making(recipe_of(known), {}, ("annotations",))
    annotations = _made(store, making, make_annotations, [], known=known, runtime=runtime)
    return Scene(runtime, source, dataset, ledger, annotations, known)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    import torch

    torch.set_num_threads(1)
    return _scene(tmp_path_factory.mktemp("detections"))


@pytest.fixture(scope="session")
def detections(scene: Scene) -> Detections:
    """Return detections of known scenes. For reading."""
    return scene.detect(scene.recipe(bottleneck_blob=True))


@pytest.fixture
def database(detections: Detections, tmp_path: Path) -> Path:
    """Return a copy of embeddings.db that a test may break."""
    path = Path(shutil.copy(detections.database, tmp_path / "embeddings.db"))
    path.chmod(0o644)
    return path
