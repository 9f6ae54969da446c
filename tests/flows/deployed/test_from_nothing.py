"""The four commands of docs/deployments.md, as they stand there, and what comes of them."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.deployments import known_flows

if TYPE_CHECKING:
    from tests.flows.deployed.conftest import Served

PAGE = (Path(__file__).parents[3] / "docs" / "deployments.md").read_text()
LIMIT_SECONDS = 150
# As each minute, "* * * * *", and not to wait for it; the sixth field is of seconds.
THRICE_A_MINUTE = "* * * * * */20"
SLOW = 2  # times as long on a machine that has other work


def commands() -> list[str]:
    """Return the commands of the page's first block."""
    block = re.search(r"(?:^    .*\n)+", PAGE, flags=re.MULTILINE)
    assert block
    return [line.strip() for line in block.group().splitlines()]


def put_photo(folder: Path, number: int) -> None:
    """Put one more picture into the watched folder."""
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"{number}.png")


def asked(served: Served, question: Callable[[Any], Any]) -> Any:
    """Return what the server answers to a client."""

    async def ask() -> Any:
        async with get_client() as client:
            return await question(client)

    with temporary_settings({PREFECT_API_URL: served.address}):
        return asyncio.run(ask())


def all_runs(client: Any) -> Any:
    """Ask for the runs whose time has come: those ahead on a schedule alone would fill a page."""
    come = FlowRunFilterStateType(not_any_=[StateType.SCHEDULED])
    begun = FlowRunFilter(state=FlowRunFilterState(type=come))
    return client.read_flow_runs(flow_run_filter=begun, limit=100)


def found(served: Served, is_wanted: Callable[[FlowRun], bool], deadline: float) -> FlowRun:
    """Return a run over the watched folder that is wanted, once there is one."""
    while time.monotonic() < deadline:
        for run in asked(served, all_runs):
            if run.deployment_id and run.parameters.get("preset") == "folder" and is_wanted(run):
                return cast(FlowRun, run)
        time.sleep(0.25)
    raise AssertionError(f"no such run in time: {served.log('worker')}")


def has_ended(run: FlowRun) -> bool:
    """Whether the run has come to its end."""
    return bool(run.state and run.state.is_final())


def is_at_work(run: FlowRun) -> bool:
    """Whether a deployment's run has not ended; other tests leave killed runs on the server."""
    return bool(run.deployment_id and run.state and not run.state.is_final())


def said(run: FlowRun) -> str:
    """Return the message that a run has ended with."""
    return (run.state and run.state.message) or ""


class Begun(NamedTuple):
    """What the four commands have begun."""

    worker: subprocess.Popen[bytes]
    watched: Path
    at: float
    deadline: float


@pytest.fixture(scope="module")
def begun(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """Give the four commands; the server of the first is `served`."""
    deadline = time.monotonic() + SLOW * LIMIT_SECONDS
    server, pool, deploy, worker = commands()
    assert server == "prefect server start --host 127.0.0.1 --port 4200"  # as `served` did
    served.call(*pool.split())
    told = served.call(*deploy.split())
    assert told.count("View Deployment in UI") == len(list(known_flows()))

    watched = tmp_path_factory.mktemp("watched")
    put_photo(watched, 1)
    settings = ["preset=folder", f'changes=["source.root={watched}", "model.family=toy"]']
    given = [word for setting in settings for word in ("--param", setting)]
    for _ in range(3):
        scheduled = ["--name", "reprocess/scheduled", "--cron", THRICE_A_MINUTE]
        served.call("prefect", "--no-prompt", "deploy", *scheduled, *given)
        if all(run.parameters["preset"] == "folder" for run in ahead(served, deadline)):
            break
    else:
        pytest.fail("deployed three times, and the runs ahead have other parameters")
    return Begun(served.begin(worker), watched, time.time(), deadline)


def ahead(served: Served, deadline: float) -> list[FlowRun]:
    """Return the runs ahead on the schedule, once the server has put them there.

    Its scheduler reads a deployment first and the schedules after. Where a deploy comes between the
    two, the runs of the next hour stand on the new schedule with the old parameters, until it is
    deployed again: seen once in hundreds of times.
    """

    async def ask(client: Any) -> list[FlowRun]:
        deployment = await client.read_deployment_by_name("reprocess/scheduled")
        schedules = {one.id for one in deployment.schedules if one.schedule.cron == THRICE_A_MINUTE}
        only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
        runs = await client.read_flow_runs(deployment_filter=only)
        return [run for run in runs if run.created_by and run.created_by.id in schedules]

    while time.monotonic() < deadline:
        if runs := asked(served, ask):
            return cast(list[FlowRun], runs)
        time.sleep(0.25)
    raise AssertionError(f"nothing was put on the schedule in time: {served.log('server')}")


def test_from_nothing_to_a_run_on_schedule_and_one_by_event(served: Served, begun: Begun) -> None:
    deadline = begun.deadline
    found(served, lambda run: bool(run.start_time), deadline)
    served.call(*"prefect deployment schedule clear -y reprocess/scheduled".split())  # noqa: SIM905
    scheduled = found(served, lambda run: "the first time" in said(run), deadline)
    assert scheduled.auto_scheduled
    assert scheduled.expected_start_time
    assert scheduled.expected_start_time.timestamp() - begun.at < 60
    assert scheduled.start_time
    assert scheduled.start_time.timestamp() - begun.at < SLOW * 60
    assert "1 rows, the first time: 4 of 4 artifacts were made" in said(scheduled)

    while time.monotonic() < deadline and any(map(is_at_work, asked(served, all_runs))):
        time.sleep(0.25)  # the next on schedule: while it works, one by event is cancelled
    put_photo(begun.watched, 2)
    event = "prefect event emit featuremill.arrived --resource-id my.folder"
    served.call(*event.split())
    by_event = found(served, lambda run: not run.auto_scheduled and has_ended(run), deadline)
    assert by_event.created_by
    assert by_event.created_by.type == "AUTOMATION"
    assert said(by_event).startswith("1 new: 3 of 4 artifacts were made")

    artifacts = asked(served, lambda client: client.read_artifacts())
    told = {one.key: one.description for one in artifacts}
    assert {"reprocess-folder", "reprocess-folder-folder"} <= told.keys()
    assert "featuremill serve --store" in told["reprocess-folder-folder"]
    assert "No worker" not in served.call("featuremill", "deployments")
    assert begun.worker.poll() is None


PHOTOS = """
flow = "photos"
description = "Photos of a folder, by no model worth the name."
source = {{source = "folder", root = "{folder}/in"}}
model = {{family = "toy", precision = "fp32"}}
prompts = {{templates = ["a {{}}"], vocabulary = ["sea", "city"]}}
out = "{folder}"
"""


@pytest.mark.usefixtures("begun")
def test_features_are_made_when_a_batch_was_preprocessed(served: Served, tmp_path: Path) -> None:
    deadline = time.monotonic() + SLOW * LIMIT_SECONDS
    preset = tmp_path / "few.toml"
    preset.write_text(PHOTOS.format(folder=tmp_path))
    put_photo(tmp_path / "in", 3)
    name = "photo-features/after-preprocess"
    settings = DeploymentUpdate(parameters={"preset": str(preset)})

    async def set_preset(client: Any) -> None:
        await client.update_deployment((await client.read_deployment_by_name(name)).id, settings)

    asked(served, set_preset)
    served.call("featuremill", "run", str(preset), "--set", "stage=preprocess")
    only = DeploymentFilter(name=DeploymentFilterName(any_=["after-preprocess"]))

    def runs() -> Any:
        return asked(served, lambda client: client.read_flow_runs(deployment_filter=only))

    while time.monotonic() < deadline and not any(map(has_ended, runs())):
        time.sleep(0.25)
    (run,) = runs()
    assert run.state.name == "Completed", said(run)
    assert run.created_by.type == "AUTOMATION"
    (exported,) = tmp_path.glob("batch_*[0-9a-f].json")
    assert '"clip_labels": [{"label": ' in exported.read_text()
