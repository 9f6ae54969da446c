"""Parts made by other processes: the same bytes, whatever dies."""

import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal, NoReturn

import cloudpickle
import dask
import pytest
from prefect.task_runners import ThreadPoolTaskRunner

import flows.images
from conf.dataset import SourceSpec, parse_source
from conf.errors import RecipeError
from conf.images import ImageRecipe, Preset
from conf.models import ModelSpec
from conf.runtime import Runtime
from flows.images import image_features
from flows.run import Run
from flows.runners import CONNECT_SECONDS, ClusterMissing, died_of_it, started, task_runner
from storage.errors import StoreError
from storage.steps import observed_by
from storage.store import Artifact, ArtifactStore
from tasks.checkpoint import part_task
from tasks.images import check_stored_rows, encode_part

DIGITS = parse_source({"source": "digits", "limit": 120})
LACKS_RAY = (
    importlib.util.find_spec("ray") is None or importlib.util.find_spec("prefect_ray") is None
)
RAY = pytest.param(
    "ray",
    marks=pytest.mark.skipif(
        LACKS_RAY, reason="no ray: pip install -c constraints.txt -e '.[ray]'"
    ),
)
Runner = Literal["dask", "ray"]


@part_task
def encode_until_killed(
    recipe: ImageRecipe, dataset: Artifact, *, part: str, source: SourceSpec, runtime: Runtime
) -> int:
    """Make a part; the first process to come to the middle of one says who it is, and waits."""
    claim = Path(f"{runtime.store}.victim")

    def pause(when: str, operation: str, path: Path) -> None:
        if when == "after" and operation == "fsync-file" and not claim.exists():
            claim.write_text(str(os.getpid()))
            time.sleep(60)

    with observed_by(pause):
        return encode_part.fn(recipe, dataset, part=part, source=source, runtime=runtime)


@contextmanager
def sent_by_value(module: ModuleType) -> Iterator[None]:
    """Let workers be sent the functions of `module`, which they cannot import."""
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def kill_victim(claim: Path, killed: list[int]) -> None:
    """Kill the process that names itself in `claim`."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (claim.exists() and claim.read_text()):
        time.sleep(0.05)
    killed.append(int(claim.read_text()))
    os.kill(killed[0], signal.SIGKILL)


def features_of(run: Run) -> tuple[str, dict[str, bytes]]:
    """Return the key of a run's features, and the bytes of the parts by name."""
    artifact = run.made[-1].artifact
    folder = run.store.path_of(artifact)
    files = sorted(path for path in (folder / "parts").rglob("*.h5"))
    return artifact.key, {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.usefixtures("prefect_harness")
@pytest.mark.parametrize("runner", ["dask", RAY])
def test_a_worker_killed_inside_a_part_costs_no_row_and_changes_no_byte(
    runner: Runner, tmp_path: Path, toy: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Preset(source=DIGITS, model=toy)
    base = Runtime(lanes=1, part_rows=20, workers=2, progress=False)
    quiet = image_features(settings, base.model_copy(update={"store": tmp_path / "threads"}))

    monkeypatch.setattr(flows.images, "encode_part", encode_until_killed)
    remote = base.model_copy(update={"store": tmp_path / "remote", "runner": runner})
    killed: list[int] = []
    killer = threading.Thread(target=kill_victim, args=(tmp_path / "remote.victim", killed))
    killer.start()
    with sent_by_value(sys.modules[__name__]):
        made = image_features(settings, remote)
    killer.join()

    assert killed
    assert killed != [os.getpid()]
    assert [one.state for one in made.made] == ["Completed", "Completed"]
    key, parts = features_of(made)
    assert (key, parts) == features_of(quiet)
    assert len(parts) == 6
    again = image_features(settings, remote.model_copy(update={"runner": "threads"}))
    assert [one.state for one in again.made] == ["Cached", "Cached"]


def test_workers_that_a_run_starts_take_nothing_down_for_a_dashboard_they_lack() -> None:
    task_runner(Runtime(runner="dask", workers=2))
    assert dask.config.get("distributed.worker.profile.enabled") is False
    assert dask.config.get("distributed.admin.tick.interval") == "500ms"


def test_a_worker_that_sees_another_store_at_the_path_makes_nothing(own_store: Path) -> None:
    store = ArtifactStore(own_store)
    recipe = ImageRecipe(model=ModelSpec(family="toy", precision="fp32"))
    runtime = Runtime(store=own_store, store_uuid="of-the-run")
    dataset = Artifact(kind="dataset", key="dataset-v1-0000000000000000", rows=1, store=store.uuid)
    for task, given in ((encode_part, {"part": "one"}), (check_stored_rows, {})):
        with pytest.raises(StoreError, match=r"is another store than that of the run.*Mount one"):
            task.fn(recipe, dataset, source=DIGITS, runtime=runtime, **given)


def test_a_worker_without_the_store_founds_none(tmp_path: Path) -> None:
    recipe = ImageRecipe(model=ModelSpec(family="toy", precision="fp32"))
    runtime = Runtime(store=tmp_path / "not-mounted", store_uuid="of-the-run")
    dataset = Artifact(kind="dataset", key="dataset-v1-0000000000000000", rows=1, store="any")
    with pytest.raises(StoreError, match=r"has no store\.json"):
        encode_part.fn(recipe, dataset, part="one", source=DIGITS, runtime=runtime)
    assert not runtime.store.exists()


def test_a_runner_whose_extra_is_missing_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_none(name: str) -> None:
        assert name in {"ray", "prefect_ray"}

    monkeypatch.setattr("flows.runners.importlib.util.find_spec", find_none)
    expected = r"runner = 'ray' needs ray and prefect_ray.*pip install .*\[ray\].*\"threads\""
    with pytest.raises(RecipeError, match=expected):
        task_runner(Runtime(runner="ray"))


def test_threads_are_as_many_as_workers() -> None:
    assert task_runner(Runtime(workers=3)) == ThreadPoolTaskRunner(max_workers=3)


def test_a_scheduler_that_is_silent_is_an_error_that_says_how_to_start_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.runners.CONNECT_SECONDS", 1)
    silent = Runtime(runner="dask", cluster="tcp://127.0.0.1:9")
    expected = r"names tcp://127\.0\.0\.1:9, and no Dask scheduler.*`dask scheduler`.*--preload"
    with pytest.raises(ClusterMissing, match=expected), started(silent):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nonsense"])
def test_a_ray_cluster_that_is_silent_is_an_error_before_ray_waits_for_it(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.runners.task_runner", lambda runtime: ThreadPoolTaskRunner())
    expected = f"names {address}, and no Ray cluster answers there .*`ray start --head"
    silent = Runtime(runner="ray", cluster=address)
    with pytest.raises(ClusterMissing, match=expected), started(silent):
        pass


class Refusing(ThreadPoolTaskRunner[Any]):
    """A runner whose cluster wants a token."""

    def __enter__(self) -> NoReturn:
        """Refuse, as Ray does."""
        raise ConnectionError("Failed to connect")


def test_a_cluster_that_refuses_a_run_is_an_error_that_names_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.runners.task_runner", lambda runtime: Refusing())
    expected = r"did not take this run: Failed to connect\..*RAY_AUTH_MODE=token"
    with pytest.raises(ClusterMissing, match=expected), started(Runtime(runner="ray")):
        pass


def test_what_ray_tells_in_the_place_of_a_task_is_a_lost_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class RayError(Exception):
        """What ray.exceptions.WorkerCrashedError is of."""

    monkeypatch.setitem(sys.modules, "ray.exceptions", SimpleNamespace(RayError=RayError))
    assert died_of_it(RayError("worker died"))
    assert not died_of_it(ValueError("the task's own"))
    monkeypatch.delitem(sys.modules, "ray.exceptions")
    assert not died_of_it(RayError("without Ray nothing is"))


class WithoutWorkers:
    """A client of a scheduler that nobody works for."""

    def wait_for_workers(self, count: int, timeout: float) -> None:
        """Wait in vain."""
        assert (count, timeout) == (1, CONNECT_SECONDS)
        raise TimeoutError


def test_a_scheduler_without_workers_is_an_error_that_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("prefect_dask.task_runners.DaskTaskRunner.client", WithoutWorkers())
    runtime = Runtime(runner="dask", cluster="tcp://127.0.0.1:8786")
    expected = r"has no worker\. Start one on each machine that shares the store: `dask worker tcp:"
    with pytest.raises(ClusterMissing, match=expected), started(runtime):
        pass
