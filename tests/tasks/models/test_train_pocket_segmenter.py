"""What the pocket segmentation model is trained on, and that training is repeatable."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ultralytics", reason="needs the extra yolo")

from storage.readers.cells.scene import scene
from tasks.models.train_pocket_segmenter import (
    SIZE_PX,
    TRAINING_SEED,
    Sample,
    Scenes,
    _boxes,
    _rate,
    train,
)
from tasks.models.yolo.files import POCKET_FOLDER, WEIGHTS_NAME


def test_a_sample_is_a_square_of_a_scene_turned_or_not() -> None:
    source = Scenes(count=3, seed=1)
    for _ in range(6):
        sample = source._sample()
        assert sample.pixels.shape == (SIZE_PX, SIZE_PX, 3)
        assert sample.seen.shape == (SIZE_PX, SIZE_PX)
        assert set(np.unique(sample.seen)) == set(range(len(sample.class_ids) + 1))


def test_a_larger_scene_is_cut_and_keeps_the_classes_of_what_is_left() -> None:
    whole = scene(TRAINING_SEED, 7, 384)
    class_ids = np.array([cell.class_id for cell in whole.cells])
    pixels = np.repeat(whole.seen[:, :, None], 3, axis=2).astype(np.uint8)
    sample = Scenes(1, 0)._cut(pixels, whole.seen.astype(np.uint8), class_ids)
    assert 0 < len(sample.class_ids) < len(class_ids) or len(class_ids) == len(sample.class_ids)
    for at, class_id in enumerate(sample.class_ids):
        (number,) = np.unique(sample.pixels[sample.seen == at + 1])
        assert class_ids[number - 1] == class_id


def test_a_smaller_scene_stands_in_the_middle_of_grey() -> None:
    seen = np.zeros((300, 300), np.uint8)
    seen[0, 0] = 1
    sample = Scenes(1, 0)._cut(np.zeros((300, 300, 3), np.uint8), seen, np.array([4]))
    assert sample.seen[10, 10] == 1
    assert np.array_equal(sample.pixels[9, 9], [114] * 3)
    assert np.array_equal(sample.pixels[10, 10], [0] * 3)


def test_boxes_are_middles_and_sizes_in_shares() -> None:
    seen = np.zeros((SIZE_PX, SIZE_PX), np.int64)
    seen[32:64, 0:160] = 1
    seen[319, 319] = 2
    sample = Sample(np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8), seen, np.array([3, 5]))
    expected = [[0.25, 0.15, 0.5, 0.1], [319.5 / 320, 319.5 / 320, 1 / 320, 1 / 320]]
    assert np.allclose(_boxes(sample), expected)


def test_a_batch_is_what_the_criterion_takes() -> None:
    batch = Scenes(count=2, seed=0).batch(3)
    objects = len(batch["cls"])
    shapes = {name: tuple(tensor.shape) for name, tensor in batch.items()}
    assert shapes == {
        "img": (3, 3, SIZE_PX, SIZE_PX),
        "masks": (3, SIZE_PX // 4, SIZE_PX // 4),
        "cls": (objects, 1),
        "bboxes": (objects, 4),
        "batch_idx": (objects,),
    }
    assert 0 <= float(batch["img"].min()) < float(batch["img"].max()) <= 1
    for image in range(3):
        count = int((batch["batch_idx"] == image).sum())
        assert int(batch["masks"][image].max()) <= count


def test_the_learning_rate_goes_up_and_then_down() -> None:
    rates = [_rate(step, 700) for step in range(700)]
    assert np.argmax(rates) < 80
    assert rates[0] < 0.05 * max(rates)
    assert rates[-1] < 0.03 * max(rates)


def test_training_is_repeatable_and_its_weights_are_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        train(steps=2, batch_size=2, scenes=2, seed=3, out=tmp_path / name)
    one, other = ((tmp_path / name / WEIGHTS_NAME).read_bytes() for name in ("one", "other"))
    assert one == other
    assert len(one) <= 2_000_000
    assert "CPU minutes" in capsys.readouterr().out


def test_the_weights_that_are_shipped_are_small_and_of_half_precision() -> None:
    from safetensors import safe_open

    path = POCKET_FOLDER / WEIGHTS_NAME
    assert path.stat().st_size <= 2_000_000
    with safe_open(path, "np") as weights:
        kinds = {weights.get_tensor(name).dtype for name in weights.keys()}  # noqa: SIM118
    assert kinds == {np.dtype(np.float16), np.dtype(np.int64)}
