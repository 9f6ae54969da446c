"""Weights that are missing, that arrive later, and that are replaced: one score, no other."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from piq.feature_extractors.clip import CLIP

from benchmarks._making import PlainRun
from conf.labels import Preset as Labels
from conf.load import LoadedPreset, load_preset
from conf.models import ModelSpec
from conf.photos import Preset
from conf.quality import QualitySettings
from conf.runtime import Runtime
from flows.labels import make_labelled
from flows.planning import plan
from flows.run import Run
from tasks.models.identity import WeightsMissing

Exported = Callable[..., dict[str, Any]]


def write_brisque(folder: Path, seed: int) -> None:
    """Write a regression as piq keeps its own: coefficients and support vectors, float32."""
    drawn = torch.Generator().manual_seed(seed)
    vectors = torch.rand(774, 36, generator=drawn) * 2 - 1
    torch.save((torch.rand(774, 1, generator=drawn), vectors), folder / "brisque_svm_weights.pt")


def write_clip_iqa(folder: Path, seed: int) -> None:
    """Write a small CLIP with random weights as piq keeps its own: a TorchScript archive, which
    only carries weights, and the tokens of two texts."""
    torch.manual_seed(seed)
    model = CLIP(32, 64, (1, 1, 1, 1), 8, None, 77, 128, 64, 1, 1).eval()
    root = torch.nn.Module()
    for name, value in model.state_dict().items():
        *path, leaf = name.split(".")
        place = root
        for step in path:
            if step not in dict(place.named_children()):
                place.add_module(step, torch.nn.Module())
            place = place.get_submodule(step)
        place.register_buffer(leaf, value)
    script: Any = torch.jit.script
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; piq's weights are such a file
        script(root).save(folder / "RN50.pt")
    tokens = torch.zeros(2, 77, dtype=torch.long)
    tokens[:, :4] = torch.tensor([[1, 5, 6, 127], [1, 7, 6, 127]])
    torch.save(tokens, folder / "clipiqa_tokens.pt")


WRITERS = {"brisque": write_brisque, "clip_iqa": write_clip_iqa}


def settings(folder: Path) -> QualitySettings:
    return QualitySettings(
        brisque_backend="piq",
        brisque_weights=folder / "brisque_svm_weights.pt",
        clip_iqa_backend="piq",
        clip_iqa_weights=folder,
    )


def test_weights_that_arrive_later_or_are_replaced_redo_exactly_one_score(
    tmp_path: Path,
    preset: Callable[..., Preset],
    make: Callable[..., Run],
    exported: Exported,
) -> None:
    asked = preset(quality=settings(tmp_path))
    make(asked)
    told: dict[str, list[Any]] = {"brisque": [], "clip_iqa": []}
    for score, write in WRITERS.items():
        features = exported()["artifacts"][0]["features"]
        assert features["tech"][score] is None
        assert features["missing"][score].startswith("weights missing: ")
        assert features["tech_raw"][score]["backend"] == "piq"
        for seed in (1, 2):
            write(tmp_path, seed)
            states = {one.name: one.state for one in make(asked).made}
            made = [name for name, state in states.items() if state != "Cached"]
            assert made == [score.replace("_", "-")]
            features = exported()["artifacts"][0]["features"]
            assert score not in features.get("missing", {})
            told[score].append(features["tech_raw"][score])
    for first, second in told.values():
        assert first["raw"] != second["raw"]
        assert first["weights_sha256"] != second["weights_sha256"]


@pytest.fixture
def absent(runtime: Runtime, tmp_path: Path) -> Runtime:
    """Return a runtime that finds no weights."""
    return runtime.model_copy(update={"models": tmp_path / "no models"})


def large() -> ModelSpec:
    """Return the encoder of the preset `photos`."""
    return Preset.model_validate(load_preset("photos").settings).model


def test_without_the_encoders_weights_all_is_made_but_what_needs_them(
    preset: Callable[..., Preset], make: Callable[..., Run], exported: Exported, absent: Runtime
) -> None:
    run = make(preset(model=large()), absent)
    made = ["originals", "exif", "standard", "standards", "quality", "noise", "brisque"]
    assert [one.name for one in run.made] == made
    for photo in exported()["artifacts"]:
        features = photo["features"]
        assert features["clip_labels"] == []
        assert features["tech"].pop("clip_iqa") is None
        assert all(isinstance(score, float) for score in features["tech"].values())
        assert features["missing"].keys() == {"clip_labels", "clip_iqa"}
        for reason in features["missing"].values():
            assert reason.startswith("weights missing: The weights of open_clip hf-hub:laion/")
            assert "featuremill models fetch" in reason
        assert features["tech_raw"]["clip_iqa"] == {"raw": None, "backend": "encoder"}
    end = run.tables[-1]
    assert end.title.startswith("Left out")
    assert end.rows == [("clip_labels, clip_iqa", features["missing"]["clip_labels"])]


def test_a_plan_without_the_encoders_weights_says_what_is_blocked_and_makes_the_rest(
    preset: Callable[..., Preset], make: Callable[..., Run], absent: Runtime, tmp_path: Path
) -> None:
    piq = settings(tmp_path)
    asked = preset(model=large(), stage="features", quality=piq)
    found = plan(LoadedPreset("photos", "photos", "", asked, absent), absent)
    states = {one.name.partition("/")[2]: one.state for one in found.artifacts}
    blocked = dict.fromkeys(("prompts", "features", "labels"), "blocked")
    made = dict.fromkeys(("originals", "exif", "quality", "noise"), "make")
    assert states == made | blocked
    told = [said.partition(" are missing")[0] for said in found.unknown]
    lacks = "weights missing: The weights of"
    assert told == [
        f"left out: brisque: {lacks} BRISQUE by piq",
        f"left out: clip_iqa: {lacks} CLIP-IQA by piq",
    ]
    assert [name for name, _ in make(asked, absent).tables[-1].rows] == [
        "clip_labels", "brisque", "clip_iqa",
    ]  # fmt: skip


def test_when_the_encoders_weights_arrive_only_what_needs_them_is_made(
    preset: Callable[..., Preset], make: Callable[..., Run], exported: Exported
) -> None:
    missing = WeightsMissing("toy", ["nowhere"], "Wait.")
    with patch("flows.run.resolve", side_effect=missing):
        make(preset())
    assert exported()["artifacts"][0]["features"]["missing"].keys() == {"clip_labels", "clip_iqa"}
    states = {one.name: one.state for one in make(preset()).made}
    made = [name for name, state in states.items() if state != "Cached"]
    assert made == ["prompts", "features", "labels", "antonyms", "clip-iqa"]
    features = exported()["artifacts"][0]["features"]
    assert len(features["clip_labels"]) == 2
    assert "missing" not in features


def test_a_flow_that_makes_labels_alone_fails_without_its_weights(
    preset: Callable[..., Preset], absent: Runtime
) -> None:
    asked = preset(model=large())
    labels = Labels(source=asked.source, model=asked.model, prompts=asked.prompts)
    with pytest.raises(WeightsMissing, match="featuremill models fetch"):
        make_labelled(PlainRun("labels", absent), labels)
