"""The demo, as a user runs it: two processes, one store."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conf.demo import Preset
from conf.errors import RecipeError
from conf.runtime import Runtime
from flows.demo import demo

_RUN = """
import contextlib, io, json, sys
from flows.cli import main
out = io.StringIO()
with contextlib.redirect_stdout(out):
    code = main(["run", "demo", "--json", "--store", sys.argv[1], "--set", 'steps=["labels"]'])
heavy = {"torch", "torchvision", "timm", "open_clip", "transformers", "ultralytics", "umap"}
heavy |= {"cv2", "numba", "plotly", "sklearn", "skimage"}
told = {"code": code, "run": json.loads(out.getvalue()), "heavy": sorted(heavy & set(sys.modules))}
print(json.dumps(told))
"""


def run_demo(store: Path) -> dict[str, object]:
    """Return what one process of the demo printed, and which heavy libraries it had imported."""
    command = [sys.executable, "-c", _RUN, str(store)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_the_second_run_is_cached_throughout_and_imports_no_model_library(tmp_path: Path) -> None:
    first, second = run_demo(tmp_path / "store"), run_demo(tmp_path / "store")
    assert first["code"] == second["code"] == 0
    assert "torch" in first["heavy"]  # type: ignore[operator]
    assert second["heavy"] == []
    artifacts = second["run"]["artifacts"]  # type: ignore[index]
    assert {artifact["state"] for artifact in artifacts} == {"Cached"}
    (table,) = second["run"]["tables"]  # type: ignore[index]
    labels = {row[0]: row[1] for row in table["rows"]}
    assert labels["scikit-image/chelsea.png"].startswith("animal")
    assert labels["scikit-learn/flower.jpg"].startswith("flower")
    assert first["run"]["tables"] == second["run"]["tables"]  # type: ignore[index]
    report = Path(second["run"]["report"])  # type: ignore[index]
    assert report == tmp_path / "store" / "reports" / "demo.html"
    page = report.read_text()
    assert "scikit-image/chelsea.png" in page
    for artifact in artifacts:
        assert artifact["key"] in page


def test_a_step_that_does_not_exist_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"'label' has no demo step\. Did you mean 'labels'"):
        demo.fn(Preset(steps=("label",)), Runtime(store=tmp_path / "store"))
