"""What happens to a run whose Prefect server is locked, restarted or gone."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from conf.dataset import parse_source
from conf.runtime import Runtime
from storage.dataset import Ledger
from storage.open import open_artifact
from storage.runs import Runs
from storage.store import ArtifactStore
from tasks.dataset import open_contents
from tasks.models.toy import ToyEncoder

if TYPE_CHECKING:
    from tests.flows.deployed.conftest import Served

ROWS, PART_ROWS = 120, 10
SLOWLY = """
import os, sys, time
from flows import server
from flows.cli import main
from tasks.models.toy import ToyEncoder

encode = ToyEncoder.encode_images

def slowly(self, pixels, *, tokens=False):
    time.sleep(0.25)
    return encode(self, pixels, tokens=tokens)

ToyEncoder.encode_images = slowly
server.PATIENCE_SECONDS = float(os.environ.get("PATIENCE_SECONDS", server.PATIENCE_SECONDS))
sys.exit(main(sys.argv[1:]))
"""
RUN = ["run", "digits", "--set", "model.family=toy", "--set", f"source.limit={ROWS}"]
RUN += ["--set", f"runtime.part_rows={PART_ROWS}", "--set", "runtime.lanes=1"]


def begin(store: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start a run of twelve parts, each of which takes a quarter of a second."""
    return subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *RUN, "--store", str(store)],
        env=environment | {"PREFECT_LOGGING_LEVEL": "CRITICAL"},  # as the command sets it
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_parts(store: Path, count: int) -> None:
    """Return when so many parts of the features are sealed."""
    deadline = time.monotonic() + 60
    while len(list(store.glob("drafts/image-features/*/parts/*.json"))) < count:
        assert time.monotonic() < deadline, "no part was sealed"
        time.sleep(0.05)


def check_every_row(store: Path) -> None:
    """Compare every stored row with what the encoder makes of the bytes now."""
    dataset = ArtifactStore(store).resolve("digits/dataset")
    reader = open_artifact("digits/features", store)
    ledger = cast(Ledger, open_artifact(dataset, store))
    source = parse_source({"source": "digits", "limit": ROWS})
    contents = open_contents(dataset, source, Runtime(store=store))
    encoder = ToyEncoder()
    pixels = np.stack([encoder.preprocess(contents.image(one)) for one in ledger.contents])
    expected = encoder.encode_images(pixels).pooled.astype(np.float16)
    np.testing.assert_array_equal(reader.pooled(ledger.contents), expected)
    assert len(expected) == ROWS


def lock_database(served: Served, seconds: float = 5.0) -> None:
    """Keep every other process out of Prefect's database."""
    database = served.folder / "prefect" / "prefect.db"
    held = sqlite3.connect(database, timeout=30, isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    time.sleep(seconds)
    held.execute("ROLLBACK")
    held.close()


def restart_server(served: Served) -> None:
    """Kill the server, and start it again a moment later."""
    served.kill_server()
    served.begin_server()


@pytest.mark.parametrize("harm", [lock_database, restart_server])
def test_a_run_survives_its_server_locked_for_5_seconds_or_restarted(
    served: Served, tmp_path: Path, harm: Callable[[Served], None]
) -> None:
    run = begin(tmp_path / "store", served.environment)
    wait_for_parts(tmp_path / "store", 3)
    harm(served)
    _, told = run.communicate(timeout=150)
    assert run.returncode == 0, told
    check_every_row(tmp_path / "store")


def test_a_run_whose_server_is_gone_says_how_to_go_on_and_going_on_works(
    served: Served, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    run = begin(store, served.environment | {"PATIENCE_SECONDS": "1"})
    wait_for_parts(store, 3)
    served.kill_server()
    try:
        _, told = run.communicate(timeout=30)  # where Prefect alone would try for minutes
    finally:
        served.begin_server()
    assert run.returncode == 1
    assert f"The Prefect server at {served.address} went away during the run" in told
    assert "`featuremill resume`" in told
    assert "Traceback" not in told
    again = begin(store, served.environment)
    assert "Cached" in again.communicate(timeout=150)[0]
    check_every_row(store)


def test_a_killed_run_is_gone_on_with_by_resume_wherever_its_store_lies_by_then(
    served: Served, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    run = begin(store, served.environment)
    wait_for_parts(store, 3)
    run.kill()
    run.communicate()
    (record,) = Runs(store).unfinished()
    assert record.name == "digits"
    store = store.rename(tmp_path / "moved")
    served.call("featuremill", "resume", "--store", str(store))
    check_every_row(store)
    assert Runs(store).unfinished() == []
    assert os.listdir(store / "drafts" / "image-features") == []
