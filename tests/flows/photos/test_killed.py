"""A run of `photos` that is killed goes on to the very batch of a run that was left alone.

Every stage and the export are the flow's own; the tasks are called without a server, so that a
death costs a fork and no more.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Processes are forked from a fresh parent: the one that runs the tests has threads.
PARENT = """
import hashlib, json, os, signal, sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from benchmarks._making import PlainRun
from conf.models import ModelSpec
from conf.photos import Preset
from conf.prompts import PromptSet
from conf.runtime import Runtime
from conf.sources.folder import Source
from flows.photos import make_photos
from storage.atomic import is_temporary
from storage.steps import observed_by

home = Path(sys.argv[1])
words = PromptSet(templates=("a {}",), vocabulary=("sea", "city", "sky"))


def run(case):
    place = home / case
    runtime = Runtime(
        store=place / "store", device="cpu", batch_size=2, part_rows=2, lanes=1, progress=False
    )
    preset = Preset(
        source=Source(root=home / "photos"), model=ModelSpec(family="toy", precision="fp32"),
        prompts=words, max_side_px=64, top=2, out=place / "out",
    )
    with patch("flows.photos.announce"):
        make_photos(PlainRun("photos", runtime), preset)


def exports(case):
    out = home / case / "out"
    found = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file() and not is_temporary(p)):
        found[str(path.relative_to(out))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def killed_at(case, moment):
    child = os.fork()
    if child == 0:
        seen = []

        def die(when, operation, path):
            seen.append(path)
            if len(seen) == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        with observed_by(die):
            run(case)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


for number in range(3):
    pixels = np.random.default_rng(number).integers(0, 256, (40 + number, 60, 3), np.uint8)
    path = home / "photos" / f"{number}.jpg"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, quality=90)

steps = []
with observed_by(lambda when, operation, path: steps.append((when, operation, str(path)))):
    run("undisturbed")
whole = exports("undisturbed")


stages = (
    "/photo-exif/", "/photo-standard/", "preprocess.json", "/photo-quality/", "/photo-noise/",
    ".parquet", ".html",
)
told = {"steps": len(steps), "files": sorted(whole), "deaths": {}}
for stage in stages:
    case, place = stage.strip("/."), stage if stage.startswith("/") else "/out/batch"
    moments = [n for n, (_, _, path) in enumerate(steps, 1) if stage in path and place in path]
    code = killed_at(case, moments[len(moments) // 2])
    run(case)
    told["deaths"][stage] = {"code": code, "same": exports(case) == whole}
codes = [killed_at("again and again", len(steps) // 5) for _ in range(5)]
run("again and again")
told["again"] = {"codes": codes, "same": exports("again and again") == whole}
json.dump(told, sys.stdout)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-c", PARENT, str(home)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_undisturbed_run_exports_json_table_page_and_jpegs(told: Any) -> None:
    suffixes = [name.partition(".")[2] for name in told["files"]]
    assert suffixes.count("jpg") == 6
    assert {"json", "parquet", "html", "preprocess.json"} <= set(suffixes)


def test_a_run_killed_in_any_stage_goes_on_to_the_same_batch(told: Any) -> None:
    assert len(told["deaths"]) == 7
    assert {death["code"] for death in told["deaths"].values()} == {-9}
    assert [stage for stage, death in told["deaths"].items() if not death["same"]] == []


def test_a_run_killed_again_and_again_comes_to_the_same_batch(told: Any) -> None:
    assert told["again"]["codes"].count(-9) >= 4
    assert told["again"]["same"]
