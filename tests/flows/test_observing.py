"""What Prefect's page shows of a run."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.artifacts import Artifact as Shown
from prefect.artifacts import update_progress_artifact
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterType,
)
from prefect.client.schemas.objects import FlowRun, TaskRun

from conf.images import Preset
from conf.models import ModelSpec
from conf.runtime import Runtime
from conf.sources.folder import Source
from flows import observing
from flows.images import image_features
from flows.run import named_for
from storage.errors import StoreError

pytestmark = pytest.mark.usefixtures("prefect_harness")


def shown(kind: str) -> list[Any]:
    """Return Prefect's artifacts of one type, newest first."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(type=ArtifactFilterType(any_=[kind])), limit=100
        )
    return sorted(found, key=lambda one: one.created, reverse=True)


def encode(folder: Path, runtime: Runtime, model: ModelSpec, name: str) -> FlowRun:
    preset = Preset(source=Source(root=folder), model=model)
    with named_for(name):
        state = image_features(preset, runtime, return_state=True)
    assert state.state_details.flow_run_id is not None
    with get_client(sync_client=True) as client:
        return client.read_flow_run(state.state_details.flow_run_id)


def test_a_run_tells_its_progress_and_ends_with_one_table(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
    ended_tasks: Callable[[UUID, int], list[TaskRun]],
) -> None:
    updates: list[float] = []

    def update(at: Any, share: float, said: str) -> None:
        updates.append(share)
        update_progress_artifact(at, share, said)

    monkeypatch.setattr(observing, "update_progress_artifact", update)
    monkeypatch.setattr(observing, "PAUSE_SECONDS", 0)
    run = encode(add_photos(12), runtime, toy, "Watched Run")
    bar = next(one for one in shown("progress") if one.key == "watched-run-features-progress")
    assert bar.data == 100
    assert bar.description == "Watched Run/features: 6 of 6 parts"
    assert len(updates) == 7, "one a part, and the last"
    assert updates == sorted(updates)
    (table,) = [one for one in shown("table") if one.key == "run-watched-run"]
    assert table.flow_run_id == run.id
    assert table.description.startswith("`Watched Run`: 2 made, 0 reused, 0 failed, in ")
    dataset, encoded, features = 3, 6, 2  # scanned, kept, sealed; encoded; checked, sealed
    names = {one.name for one in ended_tasks(run.id, dataset + encoded + features)}
    assert "seal image-features" in names
    parts = {name for name in names if name.startswith("encode_part image-features-v1-")}
    assert {name.rpartition(".")[2] for name in parts} == {f"{at:05d}" for at in range(6)}


def test_updates_are_a_second_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    clock = [0.0]
    monkeypatch.setattr("flows.observing.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def create(share: float, *_: str) -> str:
        told.append(share)
        return "id"

    monkeypatch.setattr(observing, "create_progress_artifact", create)
    monkeypatch.setattr(
        observing, "update_progress_artifact", lambda _, share, said: told.append(share)
    )
    counted: list[str] = []

    @flow
    def work() -> None:
        with observing.watched("run", "x", 100, 50, counted.append) as sealed:
            for at in range(50):
                clock[0] += 0.25
                sealed(str(at))

    work()
    assert len(counted) == 50
    assert told[0] == 50
    assert told[-1] == 100
    assert len(told) <= 2 + 50 * 0.25, "50 parts in 12.5 s"


def test_a_failed_run_leaves_a_table_with_the_errors_own_text(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
    ended_tasks: Callable[[UUID, int], list[TaskRun]],
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise StoreError("the part of the test cannot be written")

    monkeypatch.setattr("tasks.images.write_part", broken)
    run = encode(add_photos(3), runtime, toy, "failing")
    assert run.state is not None
    assert run.state.is_failed()
    (table,) = [one for one in shown("table") if one.key == "run-failing"]
    assert "1 made, 0 reused, 1 failed" in table.description
    assert "the part of the test cannot be written" in str(table.data)
    ended = ended_tasks(run.id, 3 + 2)
    (failed, *_) = [one for one in ended if one.state and one.state.is_failed()]
    assert failed.state is not None
    assert failed.state.message == "the part of the test cannot be written"


def test_a_server_that_does_not_answer_harms_no_run(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def gone(*_: Any, **given: Any) -> None:
        asked.append(given.get("key", "progress"))
        raise ConnectionError("nobody listens")

    monkeypatch.setattr(observing, "PAUSE_SECONDS", 0)
    for name in ("create_progress_artifact", "create_table_artifact"):
        monkeypatch.setattr(observing, name, gone)
    run = encode(add_photos(12), runtime, toy, "unheard")
    assert run.state is not None
    assert run.state.is_completed()
    assert asked == ["progress", "progress", "run-unheard"]  # not for each of the six parts


def test_a_server_that_went_away_is_not_told_but_waited_for_at_the_end(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[str] = []

    def is_back(address: str) -> bool:
        waited.append(address)
        return True

    monkeypatch.setattr(observing, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(observing, "create_progress_artifact", None)
    monkeypatch.setattr(observing, "answers", lambda address: False)
    monkeypatch.setattr(observing, "is_back", is_back)
    run = encode(add_photos(12), runtime, toy, "restarted")
    assert run.state is not None
    assert run.state.is_completed()
    assert len(waited) == 1
    assert [one for one in shown("table") if one.key == "run-restarted"]
    assert not [one for one in shown("progress") if one.key.startswith("restarted")]


def test_keys_of_artifacts_are_what_prefect_takes() -> None:
    assert observing.artifact_key("run", "Größe_2/x ") == "run-gr-e-2-x"
    assert Shown(type="table", key=observing.artifact_key("run", "Größe_2/x "), data="[]")
