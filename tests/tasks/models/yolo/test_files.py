"""Which models are taken, and how those that are not are refused."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from conf.errors import FeaturemillError, RecipeError
from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.models.devices import module_fingerprint
from tasks.models.identity import WeightsDiffer, WeightsMissing, WeightsUnreadable
from tasks.models.load import families, load_encoder, resolve
from tasks.models.yolo import load_detector, new_detector
from tasks.models.yolo.files import canonical_layers, identify
from tasks.models.yolo.loading import build_net

BACKBONE = [[-1, 1, "Conv", [width, 3, 2]] for width in (8, 8, 16, 16, 16)]
TINY: dict[str, Any] = {
    "nc": 2,
    "names": ["red", "white"],
    "backbone": BACKBONE,
    "head": [[[2, 3, 4], 1, "Segment", ["nc", 32, 16]]],
}


def spec(**fields: Any) -> ModelSpec:
    return ModelSpec(**{"family": "yolo", "precision": "fp32", "name": "tiny.yaml"} | fields)


@pytest.fixture
def models(runtime: Runtime) -> Path:
    """Return the models root, with the architecture tiny.yaml in it."""
    runtime.models.mkdir(parents=True)
    (runtime.models / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return runtime.models


@pytest.fixture
def checkpoint(models: Path) -> Callable[..., Path]:
    """Return a function that saves a .pt as Ultralytics does, and returns its path."""

    def save(name: str, architecture: dict[str, Any] | None = None, **more: Any) -> Path:
        import torch

        net = build_net(architecture or TINY, name, seed=7)
        net.args = {"box": 99.0}
        torch.save({"model": net, "ema": None, "train_args": {"box": 99.0}, **more}, models / name)
        return models / name

    return save


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_random_weights_are_named_by_architecture_and_seed(runtime: Runtime, models: Path) -> None:
    named = [resolve(spec(weights=f"random:{seed}"), runtime).sha256 for seed in (0, 0, 1)]
    assert named[0] == named[1] != named[2]
    (models / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"nc": 2, "comment": "other bytes"}))
    assert resolve(spec(weights="random:0"), runtime).sha256 != named[0]


def test_the_library_is_named_with_its_version(runtime: Runtime, models: Path) -> None:
    from importlib.metadata import version

    found = resolve(spec(weights="random:0"), runtime).library
    assert found == f"ultralytics=={version('ultralytics-opencv-headless')}"


def test_a_seed_gives_the_same_weights_again(runtime: Runtime, models: Path) -> None:
    named = resolve(spec(weights="random:3"), runtime)
    once = load_detector(named, runtime, 64)
    again = load_detector(named, runtime, 96)
    assert once is not again
    assert once.fingerprint == again.fingerprint
    assert once.names == ("red", "white")


def test_a_detector_is_loaded_once_a_process(runtime: Runtime, models: Path) -> None:
    named = resolve(spec(weights="random:3"), runtime)
    once = load_detector(named, runtime, 64)
    assert load_detector(named, runtime, 64) is once


def test_a_new_detector_is_nobody_elses(runtime: Runtime, models: Path) -> None:
    named = resolve(spec(weights="random:3"), runtime)
    shared, own = load_detector(named, runtime, 64), new_detector(named, runtime, 64)
    assert own.fingerprint == shared.fingerprint
    own.net.model[-1].proto.cv1.conv.weight += 1
    assert module_fingerprint(own.net) != module_fingerprint(shared.net) == shared.fingerprint
    assert new_detector(named, runtime, 64).fingerprint == shared.fingerprint


def test_safetensors_beside_an_architecture_are_a_model(runtime: Runtime, models: Path) -> None:
    from safetensors.torch import save_file

    folder = models / "mine"
    folder.mkdir()
    (folder / "model.yaml").write_text(yaml.safe_dump(TINY))
    net = build_net(TINY, "tiny", seed=5)
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()},
              folder / "model.safetensors")  # fmt: skip
    named = resolve(spec(name="mine", weights="local-dir:mine"), runtime)
    other = load_detector(resolve(spec(weights="random:5"), runtime), runtime, 64)
    assert load_detector(named, runtime, 64).fingerprint == other.fingerprint


def test_weights_of_another_architecture_are_refused(runtime: Runtime, models: Path) -> None:
    from safetensors.numpy import save_file

    folder = models / "mine"
    folder.mkdir()
    (folder / "model.yaml").write_text(yaml.safe_dump(TINY))
    save_file({"model.0.conv.weight": np.zeros(3, np.float32)}, folder / "model.safetensors")
    named = resolve(spec(weights="local-dir:mine"), runtime)
    with pytest.raises(WeightsUnreadable, match="does not hold the weights of its architecture"):
        load_detector(named, runtime, 64)


def test_a_torn_file_of_weights_is_told(runtime: Runtime, models: Path) -> None:
    folder = models / "mine"
    folder.mkdir()
    (folder / "model.yaml").write_text(yaml.safe_dump(TINY))
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    named = resolve(spec(weights="local-dir:mine"), runtime)
    with pytest.raises(WeightsUnreadable, match=r"is no file of safetensors: .*Copy it anew"):
        load_detector(named, runtime, 64)


# Checkpoints: pickles, which run when they are opened.


class Trap:
    """A pickle that makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_checkpoint_without_a_pinned_sha256_is_refused(
    runtime: Runtime, checkpoint: Callable[..., Path]
) -> None:
    path = checkpoint("best.pt")
    with pytest.raises(
        RecipeError, match=r"is a pickle: whoever opens it runs .* model\.sha256"
    ) as e:
        resolve(spec(name="best"), runtime)
    assert sha256(path) in str(e.value)


def test_a_checkpoint_with_another_sha256_is_never_opened(
    runtime: Runtime, models: Path, tmp_path: Path
) -> None:
    import torch

    sprung = tmp_path / "sprung"
    torch.save({"model": Trap(sprung)}, models / "best.pt")
    with pytest.raises(WeightsDiffer, match=r"pins sha256 0{64} for yolo best .* Put the pinned"):
        resolve(spec(name="best", sha256="0" * 64), runtime)
    assert not sprung.exists()


def test_a_checkpoint_that_was_changed_after_the_plan_is_never_opened(
    runtime: Runtime, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    import torch

    path, sprung = checkpoint("best.pt"), tmp_path / "sprung"
    named = resolve(spec(name="best", sha256=sha256(path)), runtime)
    torch.save({"model": Trap(sprung)}, path)
    with pytest.raises(WeightsDiffer):
        load_detector(named, runtime, 64)
    assert not sprung.exists()


def test_the_trap_would_have_sprung(models: Path, tmp_path: Path) -> None:
    import torch

    torch.save({"model": Trap(tmp_path / "sprung")}, models / "best.pt")
    torch.load(models / "best.pt", weights_only=False)
    assert (tmp_path / "sprung").exists()


def test_a_pinned_checkpoint_gives_its_weights_and_classes_and_our_gains(
    runtime: Runtime, checkpoint: Callable[..., Path]
) -> None:
    path = checkpoint("best.pt")
    named = resolve(spec(name="best", sha256=sha256(path)), runtime)
    found = load_detector(named, runtime, 64)
    drawn = load_detector(resolve(spec(weights="random:7"), runtime), runtime, 64)
    assert found.fingerprint == drawn.fingerprint
    assert found.names == ("red", "white")
    assert found.criterion.hyp.box == 7.5


def test_a_file_that_is_no_checkpoint_is_told(runtime: Runtime, models: Path) -> None:
    (models / "best.pt").write_bytes(b"GIF89a")
    named = resolve(spec(name="best", sha256=sha256(models / "best.pt")), runtime)
    with pytest.raises(WeightsUnreadable, match=r"best\.pt is no checkpoint of Ultralytics"):
        load_detector(named, runtime, 64)


def test_a_classification_checkpoint_is_named_as_unsupported(
    runtime: Runtime, models: Path
) -> None:
    import torch
    from ultralytics.nn.tasks import ClassificationModel

    head = {"nc": 2, "backbone": BACKBONE, "head": [[-1, 1, "Classify", ["nc"]]]}
    classifier: Any = ClassificationModel
    net = classifier(head, verbose=False)
    torch.save({"model": net}, models / "sorter.pt")
    named = resolve(spec(name="sorter", sha256=sha256(models / "sorter.pt")), runtime)
    with pytest.raises(RecipeError, match=r"sorter .* is a classification model, which finds no"):
        load_detector(named, runtime, 64)


# What is no detector


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("yolo11n-cls", "is a classification model, which finds no objects. Take a detection or"),
        ("yolov8n-pose", "is a pose model"),
        ("yolo26n-obb", "is a model of rotated boxes"),
        ("yolov8n-rtdetr", "is an RT-DETR model"),
        ("yolo26n-sem", "is a model of semantic segmentation"),
        ("yolov8n-world", "is a model with the head WorldDetect"),
    ],
)
def test_models_that_find_no_boxes_are_named(runtime: Runtime, name: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve(spec(name=name, weights="random:0"), runtime)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "yolo11n-sec", "weights": "random:0"}, "Did you mean 'yolo11n-seg'?"),
        ({"name": "yolo11-seg", "weights": "random:0"}, "Did you mean 'yolo11n-seg'?"),
        ({"name": "../x.yaml", "weights": "random:0"}, "leads out of the models root"),
        ({"weights": "local-dir:../.."}, "leads out of the models root"),
        ({"weights": "laion"}, "names no weights of a yolo model"),
        ({"weights": "random:x"}, "names no random weights"),
        ({"name": "pocket-segmenter", "weights": "random:0"}, "has its own weights only"),
    ],
)
def test_wrong_names_are_told(runtime: Runtime, fields: dict[str, str], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve(spec(**fields), runtime)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "yolo11n-seg"}, r"Looked in: .*yolo11n-seg\.pt; .* pin its sha256"),
        ({"name": "own.yaml", "weights": "random:0"}, r"own\.yaml"),
        ({"weights": "local-dir:none"}, r"model\.safetensors and model\.yaml, or one \.pt"),
    ],
)
def test_missing_files_are_told_with_their_place(
    runtime: Runtime, fields: dict[str, str], told: str
) -> None:
    with pytest.raises(WeightsMissing, match=told):
        resolve(spec(**fields), runtime)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{nc: 1", "is not YAML"),
        ("nc: 1", "is no architecture of Ultralytics"),
        (yaml.safe_dump(TINY | {"scales": {"n": [1, 1, 64]}}), "Add `scale: n`"),
    ],
)
def test_a_file_that_is_no_architecture_is_told(
    runtime: Runtime, models: Path, content: str, told: str
) -> None:
    (models / "tiny.yaml").write_text(content)
    with pytest.raises(FeaturemillError, match=told):
        resolve(spec(weights="random:0"), runtime)


def test_names_that_do_not_fit_the_classes_are_told(runtime: Runtime, models: Path) -> None:
    (models / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"names": ["red"]}))
    with pytest.raises(WeightsUnreadable, match="2 classes names 1"):
        load_detector(resolve(spec(weights="random:0"), runtime), runtime, 64)


def test_a_detector_is_no_image_text_encoder(runtime: Runtime, models: Path) -> None:
    assert "yolo" in families()
    named = resolve(spec(weights="random:0"), runtime)
    with pytest.raises(
        RecipeError, match=r'which finds objects\. Run a preset of flow = "detections"'
    ):
        load_encoder(named, runtime)


def test_layers_that_feed_the_head_have_one_name(runtime: Runtime, models: Path) -> None:
    named = spec(weights="random:0")
    assert canonical_layers(named, models, (2, 3, 4)) == ()
    assert canonical_layers(named, models, (4, 3)) == (4, 3)
    assert canonical_layers(named, models, ()) == ()


def test_a_layer_that_is_not_there_is_told(runtime: Runtime, models: Path) -> None:
    named = resolve(spec(weights="random:0"), runtime)
    with pytest.raises(
        RecipeError, match=r"no layer 5 before the head .* feed the head are \[2, 3"
    ):
        load_detector(named, runtime, 64, (5,))


def test_identifying_imports_no_model_library(models: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from conf.models import ModelSpec;"
        "from tasks.models.yolo.files import identify;"
        "identify(ModelSpec(family='yolo', name='yolo11n-seg', weights='random:0',"
        " precision='fp32'), Path('.'));"
        "print(sorted({'torch', 'ultralytics', 'cv2'} & set(sys.modules)))"
    )
    told = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert told.strip() == "[]"
    assert identify(spec(weights="random:0"), models).is_resolved
