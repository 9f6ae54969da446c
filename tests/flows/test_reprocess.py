"""Reprocessing: only what is new, told and announced, never twice at once, nothing piles up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from prefect.client.schemas.objects import State

import flows.reprocess
from conf.runtime import Runtime
from flows.reprocess import REPROCESSED, Reprocessed, reprocess
from storage.atomic import exclusive, shared
from storage.runs import Runs
from storage.store import ArtifactStore

pytestmark = pytest.mark.usefixtures("prefect_harness")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the events that are sent, as they are sent."""
    sent: list[dict[str, Any]] = []

    def send(event: str, **given: Any) -> None:
        sent.append({"event": event, **given})

    monkeypatch.setattr(flows.reprocess, "emit_event", send)
    return sent


def again(folder: Path, runtime: Runtime, **given: Any) -> State[Reprocessed]:
    """Return the state in which a reprocessing of `folder` ends."""
    changes = [f"source.root={folder}", "model.family=toy"]
    ended: Any = reprocess("folder", changes, runtime, **given, return_state=True)
    return cast("State[Reprocessed]", ended)


def test_only_what_is_new_is_made_told_and_announced_and_old_runs_go(
    add_photos: Callable[..., Path], runtime: Runtime, events: list[dict[str, Any]]
) -> None:
    first = again(add_photos(3), runtime)
    assert first.message is not None
    assert first.message.startswith("3 rows, the first time: 4 of 4 artifacts were made")

    second = again(add_photos(1, first=3), runtime, keep_runs=1)
    assert second.message is not None
    assert second.message.startswith("1 new: 3 of 4 artifacts were made")  # prompts are reused
    assert "old artifacts were removed" in second.message
    made = {one.name: one.rows_made for one in second.result().made}
    assert made["features"] == 1
    kinds = [key.kind for key in ArtifactStore(runtime.store).published()]
    assert sorted(kinds) == sorted(set(kinds))  # of every kind, the newest only

    third = again(add_photos(0), runtime)
    assert third.message == "Nothing is new: all 4 artifacts were reused."
    assert third.name == "Completed"

    assert [event["event"] for event in events] == [REPROCESSED] * 2
    payload = events[1]["payload"]
    assert set(payload["made"]) == {"dataset", "features", "labels"}
    assert payload["artifacts"] == {one.name: one.artifact.key for one in third.result().made}
    assert payload["store"] == str(runtime.store)


def test_a_preset_in_a_file_of_any_name_is_reprocessed_though_its_last_ledger_is_damaged(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    events: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    file = tmp_path / "Größe 2.toml"
    source = f'source = {{source = "folder", root = "{add_photos(1)}"}}'
    file.write_text(f'flow = "images"\n{source}\nmodel = {{family = "toy", precision = "fp32"}}\n')
    first: Any = reprocess(str(file), None, runtime)
    assert first.said.startswith("1 rows, the first time: 2 of 2 artifacts were made")
    (ledger,) = runtime.store.glob("published/dataset/*/parts/*/ledger.parquet")
    ledger.chmod(0o644)
    ledger.write_bytes(bytes(ledger.stat().st_size))
    add_photos(1, first=1)
    second: Any = reprocess(str(file), None, runtime)
    assert second.said.startswith("2 rows, the older ledger is gone or damaged: 2 of 2 artifacts")
    assert len(events) == 2


def test_while_the_one_before_is_at_work_a_run_is_skipped_and_says_who_works(
    add_photos: Callable[..., Path], runtime: Runtime, events: list[dict[str, Any]]
) -> None:
    store = ArtifactStore(runtime.store)
    with exclusive(store.path / "locks" / "reprocess-folder"):
        ended = again(add_photos(1), runtime)
    assert ended.name == "Skipped"
    assert ended.is_completed()
    assert (
        "The reprocessing of folder before this one is still at work (process"
        in ended.result().said
    )
    assert store.published() == []
    assert events == []


def test_while_another_run_is_at_work_in_the_store_nothing_is_removed(
    add_photos: Callable[..., Path], runtime: Runtime, events: list[dict[str, Any]]
) -> None:
    with shared(Runs(runtime.store).everyone):
        ended = again(add_photos(1), runtime, keep_runs=1)
    assert ended.message is not None
    assert "Nothing was collected: another run is at work in the store." in ended.message
