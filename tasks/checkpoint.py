"""The places where our tasks meet Prefect: parts are retried, seals are remembered by the store.

Prefect schedules, retries and shows; the store remembers. So tasks that make parts have no Prefect
cache, and the task that seals an artifact has one whose record this module rewrites before Prefect
may read it.
"""

import errno
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from prefect import Task, task
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.results import ResultRecord, ResultRecordMetadata  # type: ignore[attr-defined]
from prefect.runtime import task_run
from prefect.serializers import JSONSerializer
from prefect.states import Failed, format_exception
from prefect.transactions import get_transaction

from conf.errors import FeaturemillError
from conf.keys import ArtifactKey, Recipe
from conf.runtime import Runtime
from storage.atomic import write_file
from storage.publishing import seal as publish
from storage.store import Artifact, ArtifactStore

P = ParamSpec("P")
R = TypeVar("R")

RECORD = "prefect.json"
RETRIES = 3
_PASSING_ERRNOS = frozenset(
    {errno.EAGAIN, errno.EINTR, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET}
)


def is_transient(problem: BaseException) -> bool:
    """Whether the same call may succeed later without anybody changing anything."""
    match problem:
        case FeaturemillError():
            return problem.transient
        case ConnectionError() | TimeoutError():
            return True
        case OSError():
            return problem.errno in _PASSING_ERRNOS
    return False


def part_task(function: Callable[P, R]) -> Task[P, R]:
    """Make `function`, which seals one part of a draft, a task: retried when the trouble may
    pass, refused where another store lies at the path of the run's."""

    @wraps(function)
    def made_here(*args: P.args, **kwargs: P.kwargs) -> R:
        _check_store(kwargs.get("runtime"))
        return function(*args, **kwargs)

    decorate = task(
        task_run_name=_name_of(function.__name__),
        retries=RETRIES,
        retry_delay_seconds=[1, 5, 15],
        retry_condition_fn=_may_pass,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return decorate(_failing_in_its_words(made_here))


def look_task(function: Callable[P, R]) -> Task[P, R]:
    """Make `function`, which looks at the world, a task: never cached, for the world may change."""
    decorate = task(
        task_run_name=_name_of(function.__name__), cache_policy=NO_CACHE, persist_result=False
    )
    return decorate(_failing_in_its_words(function))


def _failing_in_its_words(function: Callable[P, R]) -> Callable[P, R]:
    """Let the run of a task end as `Failed` with the error's own text: of an error that is raised
    Prefect would say first that a task run encountered an exception.

    Called plainly, as `.fn` is, it raises.
    """

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as problem:
            run = TaskRunContext.get()
            if run is None or run.task.fn is not told:
                raise
            if transaction := get_transaction():
                transaction.write_on_commit = False  # an error is nobody's cached result
            # Prefect takes the state for what the task's run came to.
            return cast(R, Failed(message=_text(problem), data=problem))

    return told


def _text(problem: Exception) -> str:
    """Return an error's text; of one that is not ours, such as a KeyError, with its type."""
    return str(problem) if isinstance(problem, FeaturemillError) else format_exception(problem)


def _check_store(runtime: object) -> None:
    """Raise StoreError when a worker does not see the store of the run that sent it a part."""
    if isinstance(runtime, Runtime) and runtime.store_uuid:
        ArtifactStore(runtime.store, create=False).check_is(runtime.store_uuid)


def _name_of(step: str) -> Callable[[], str]:
    """Return what names a task run on Prefect's page: the step, and the artifact and its part."""

    def name() -> str:
        part = task_run.parameters.get("part")
        return f"{step} {part}" if isinstance(part, str) else step

    return name


def _may_pass(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.data, BaseException) and is_transient(state.data)


class StoreRemembers(CachePolicy):
    """Lets Prefect say `Cached` exactly when the store holds the artifact, whole.

    The key is where Prefect keeps its record: `<kind>/<key>/prefect.json` under
    `<store>/published`. Before Prefect may look, the store is asked; on a hit the record is written
    anew from the manifest, on a miss it is removed. So Prefect never reads a record that this
    process did not write.
    """

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str:
        """Return the path of the record, its content made to say what the store says now."""
        key = inputs["recipe"].key(**inputs["inputs"])
        remember(ArtifactStore(inputs["runtime"].store), key)
        return f"{key.kind}/{key}/{RECORD}"


def remember(store: ArtifactStore, key: ArtifactKey) -> None:
    """Write the record of `key` anew when it is published, and remove it when it is not."""
    record = store.folder(key) / RECORD
    if found := store.find(key):
        write_file(record, record_of(found))
    else:
        record.unlink(missing_ok=True)


def record_of(artifact: Artifact) -> bytes:
    """Return the record that makes Prefect answer with the handle `artifact`."""
    metadata = ResultRecordMetadata(serializer=JSONSerializer())
    return ResultRecord(result=artifact, metadata=metadata).serialize()


@task(
    task_run_name="seal {recipe.kind}",
    cache_policy=StoreRemembers(),
    persist_result=True,
    result_serializer=JSONSerializer(),
)
@_failing_in_its_words
def seal(
    recipe: Recipe,
    inputs: Mapping[str, ArtifactKey],
    *,
    runtime: Runtime,
    made: Mapping[str, Any] | None = None,
) -> Artifact:
    """Finish and publish what `recipe` makes of `inputs`, and return its handle.

    Called in every run: of something published it is `Cached`. `made` is provenance for the
    manifest.
    """
    return publish(ArtifactStore(runtime.store), recipe.key(**inputs), made=made)


def seal_into(store: Path) -> Any:
    """Return `seal` with its record kept beside the artifact, in the store at `store`."""
    return seal.with_options(
        result_storage=store / "published", cache_result_in_memory=False, persist_result=True
    )
