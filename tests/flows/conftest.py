"""Small real inputs for flows."""

import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from PIL import Image
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TaskRun

from conf.keys import Frozen
from conf.load import LoadedPreset
from conf.models import ModelSpec
from conf.runtime import Runtime
from flows.deployed import run_loaded
from flows.planning import Plan, plan
from flows.run import Run

TOY = ModelSpec(family="toy", precision="fp32")


@pytest.fixture
def add_photos(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that puts so many different photographs into a folder, and returns it."""

    def add(count: int, *, first: int = 0) -> Path:
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        for number in range(first, first + count):
            pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:03d}.png")
        return folder

    return add


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """Return a runtime whose store is the test's own."""
    return Runtime(store=tmp_path / "store", batch_size=2, part_rows=2, lanes=1, progress=False)


@pytest.fixture
def toy() -> ModelSpec:
    """Return the spec of the toy encoder."""
    return TOY


@pytest.fixture(scope="session")
def ended_tasks() -> Callable[[UUID, int], list[TaskRun]]:
    """Return what gives a flow run's task runs once so many have ended: the server takes them up
    from events."""

    def ended(flow_run: UUID, count: int) -> list[TaskRun]:
        of_flow = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
        deadline = time.monotonic() + 30
        with get_client(sync_client=True) as client:
            while True:
                found = client.read_task_runs(flow_run_filter=of_flow)
                done = [run for run in found if run.state and run.state.is_final()]
                if len(done) >= count or time.monotonic() > deadline:
                    return done
                time.sleep(0.1)

    return ended


@pytest.fixture(scope="session")
def check_plan() -> Callable[[Plan, Run], None]:
    """Return what compares every statement of a plan with what the run then did."""

    def check(foreseen: Plan, made: Run) -> None:
        full = {one.name.removeprefix(f"{foreseen.name}/"): one for one in foreseen.artifacts}
        named = {name: one for name, one in full.items() if one.state != "blocked"}
        assert not {one.name for one in made.made} & (full.keys() - named.keys())
        known = [one for one in made.made if one.name in named]
        assert [one.name for one in known] == list(named)
        assert foreseen.unknown or len(known) == len(made.made)
        for was in known:
            one = named[was.name]
            assert (one.key, one.rows) == (was.artifact.key, was.artifact.rows), one.name
            assert (one.state == "reuse") == (was.state == "Cached"), one.name
            assert one.rows_to_make == was.rows_made, one.name
            assert one.parts in {0, len(made.store.markers(was.artifact))}, one.name
            assert bool(one.reasons) == (one.state != "reuse"), one.name

    return check


@pytest.fixture(scope="session")
def as_planned(check_plan: Callable[[Plan, Run], None]) -> Callable[..., tuple[Plan, Run]]:
    """Return what plans a flow and runs it, with every statement of the plan held against the
    run."""

    def follow(
        flow: str, settings: Frozen, runtime: Runtime, name: str | None = None
    ) -> tuple[Plan, Run]:
        asked = LoadedPreset(name or flow, flow, "", settings, runtime)
        foreseen = plan(asked, runtime)
        made = run_loaded(asked, runtime)
        check_plan(foreseen, made)
        return foreseen, made

    return follow
