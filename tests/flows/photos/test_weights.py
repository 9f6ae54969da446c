"""Weights that are missing, that arrive later, and that are replaced: one score, no other."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from piq.feature_extractors.clip import CLIP

from conf.photos import Preset
from conf.quality import QualitySettings
from flows.run import Run

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
