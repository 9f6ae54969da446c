"""`featuremill plan` as a command: it imports no Prefect, and nobody else notices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conf.load import PRESETS, load_preset
from flows.cli import main

SMALL = {
    "sample_concepts": (),
    "cells": ("source.count=2",),
    "cell_losses": ("source.count=2",),
    "demo": ('steps=["labels"]',),  # imports all flows
    "digits": ("source.limit=20",),
    "digits_map": ("source.limit=20",),
    "sample_labels": (),
    "sample_photos": (),
    "written_reviews": (),
}
"""One preset of every flow, changed so that its plan takes a moment."""
_COMMANDS = """
import contextlib, io, json, sys
from flows.cli import main

store, presets = sys.argv[1], json.loads(sys.argv[2])
codes = []
for preset, changes in presets.items():
    words = [word for change in changes for word in ("--set", change)]
    sys.argv = ["featuremill", "plan", preset, "--store", store, *words]
    with contextlib.redirect_stdout(io.StringIO()):
        codes.append(main())
heavy = {"prefect", "torch", "torchvision", "timm", "open_clip", "transformers", "ultralytics"}
heavy |= {"umap", "numba", "cv2", "sklearn", "skimage", "scipy", "pandas", "plotly", "fastapi"}
from flows.labels import label_photos
try:
    label_photos(None)
except Exception as problem:
    refusal = f"{type(problem).__name__}: {problem}"
print(json.dumps({"codes": codes, "heavy": sorted(heavy & set(sys.modules)), "said": refusal}))
"""


def test_a_plan_of_any_flow_imports_no_prefect_and_what_it_imported_runs_nothing(
    tmp_path: Path,
) -> None:
    flows = {load_preset(path.stem).flow for path in PRESETS.glob("*.toml")}
    assert {load_preset(name).flow for name in SMALL} == flows
    command = [sys.executable, "-c", _COMMANDS, str(tmp_path / "store"), json.dumps(SMALL)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["codes"] == [0] * len(SMALL)
    assert told["heavy"] == []
    assert told["said"].startswith("OnlyPlanned: label_photos of flows.labels was called, but this")


def test_only_the_command_itself_does_without_prefect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    monkeypatch.setattr("flows.cli.plan.only_plan", lambda: said.append("only plans"))
    words = ["plan", "sample_labels", "--store", str(tmp_path / "store")]
    assert main(words) == 0
    assert said == []
    monkeypatch.setattr(sys, "argv", ["featuremill", *words])
    assert main() == 0
    assert said == ["only plans"]
