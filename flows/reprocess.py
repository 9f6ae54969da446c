"""Reprocessing on a schedule: what is new or changed is made, told and announced; old runs go."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, cast

from prefect import flow
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed
from pydantic import Field

from conf.errors import FeaturemillError, WorldError
from conf.load import LoadedPreset, load_preset
from conf.runtime import Runtime
from flows.deployed import run_loaded
from flows.observing import artifact_key
from flows.run import Made, Run
from storage.atomic import exclusive
from storage.collecting import collect
from storage.dataset import Ledger
from storage.dataset.changes import ledger_changes
from storage.errors import StoreInUse
from storage.open import open_artifact
from storage.store import ArtifactStore

REPROCESSED = "featuremill.reprocessed"
"""The event that is sent when a run has made something."""
ARRIVED = "featuremill.arrived"
"""The event that asks for a run now; whoever puts files into a watched folder may send it."""
CRON = "*/15 * * * *"


class AtWork(WorldError):
    """The run before this one has not ended."""


@dataclass(frozen=True)
class Reprocessed:
    """What a scheduled run found and did."""

    preset: str
    said: str
    """What happened, in a sentence; the message of the flow run's state."""
    made: tuple[Made, ...] = ()
    removed: int = 0
    """Artifacts and drafts that nothing needs any more, removed."""


@flow(name="reprocess", flow_run_name="reprocess-{preset}")
def reprocess(
    preset: str = "sample_labels",
    changes: list[str] | None = None,
    runtime: Runtime | None = None,
    keep_runs: Annotated[int, Field(ge=0)] | None = 3,
    draft_days: Annotated[float, Field(ge=0)] = 14.0,
) -> State[Reprocessed]:
    """Run a preset again: what is new or changed in its source is made, all else is reused.

    While another reprocessing of the same preset and store is at work this one is skipped.
    Afterwards what no name, none of the last `keep_runs` runs and no draft of the last
    `draft_days` days needs is removed; None keeps everything.
    """
    loaded = load_preset(preset, changes or ())
    chosen = runtime or loaded.runtime
    store = ArtifactStore(chosen.store)
    try:
        with exclusive(store.path / "locks" / f"reprocess-{loaded.name}", _refuse(loaded.name)):
            done = _again(loaded, chosen, store, keep_runs, draft_days)
    except AtWork as busy:
        skipped = Reprocessed(loaded.name, str(busy))
        return Completed(name="Skipped", message=skipped.said, data=skipped)
    return Completed(message=done.said, data=done)


def _refuse(name: str) -> Callable[[str], None]:
    def refuse(holder: str) -> None:
        raise AtWork(
            f"The reprocessing of {name} before this one is still at work ({holder}). Nothing was "
            "done; what has arrived meanwhile is taken up by the next."
        )

    return refuse


def _again(
    loaded: LoadedPreset,
    runtime: Runtime,
    store: ArtifactStore,
    keep_runs: int | None,
    draft_days: float,
) -> Reprocessed:
    before = store.refs.all()
    run = run_loaded(loaded, runtime)
    rows = [(made, _became(run, made, before)) for made in run.made]
    fresh = [made for made in run.made if made.state != "Cached"]
    said = _sentence(run, fresh, rows)
    _leave_artifacts(run, rows)
    if fresh:
        _announce(run, fresh)
    removed, kept = _collect(store, keep_runs, draft_days)
    return Reprocessed(loaded.name, f"{said}{kept}", tuple(run.made), removed)


def _became(run: Run, made: Made, before: Mapping[str, str]) -> str:
    """Return what became of the rows of a dataset since the run before; of others, nothing."""
    older = before.get(f"{run.name}/{made.name}")
    if made.artifact.kind != "dataset" or older == made.artifact.key:
        return ""
    now = cast(Ledger, open_artifact(made.artifact, run.store))
    if older is None:
        return f"{len(now.uri):,} rows, the first time"
    with suppress(FeaturemillError, FileNotFoundError):  # damaged, removed
        return str(ledger_changes(cast(Ledger, open_artifact(older, run.store)), now))
    return f"{len(now.uri):,} rows, the older ledger is gone or damaged"


def _sentence(run: Run, fresh: list[Made], rows: list[tuple[Made, str]]) -> str:
    if not fresh:
        return f"Nothing is new: all {len(run.made)} artifacts were reused."
    became = "; ".join(text for _, text in rows if text) or "the settings are others"
    count = sum(made.rows_computed for made in fresh)
    return (
        f"{became}: {len(fresh)} of {len(run.made)} artifacts were made, "
        f"{count:,} rows of them computed now."
    )


def _leave_artifacts(run: Run, rows: list[tuple[Made, str]]) -> None:
    """Show in Prefect what was made of what is new, and where it lies."""
    key = artifact_key("reprocess", run.name)
    create_table_artifact(
        key=key,
        table=[_row(made, became) for made, became in rows],
        description=f"What the last run of `{run.name}` made and reused",
    )
    if run.made:
        folder = run.store.path_of(run.made[-1].artifact)
        create_link_artifact(
            key=f"{key}-folder",
            link=folder.as_uri(),
            link_text=run.made[-1].artifact.key,
            # Browsers open no file that a page from elsewhere names: the path is to be copied.
            description=f"`{folder}`\n\nBrowsers do not follow this link from Prefect's page: copy "
            f"the path, or see all of the store with `featuremill serve --store {run.store.path}`.",
        )


def _row(made: Made, became: str) -> dict[str, Any]:
    return {
        "artifact": made.name,
        "state": made.state,
        "rows": made.artifact.rows,
        "rows made": made.rows_made,
        "since the last run": became,
        "seconds": round(made.seconds, 2),
        "note": made.note,
        "key": made.artifact.key,
    }


def _announce(run: Run, fresh: list[Made]) -> None:
    emit_event(
        REPROCESSED,
        resource={
            "prefect.resource.id": f"featuremill.preset.{run.name}",
            "prefect.resource.name": run.name,
        },
        payload={
            "preset": run.name,
            "store": str(run.store.path),
            "made": {made.name: made.artifact.key for made in fresh},
            "artifacts": {made.name: made.artifact.key for made in run.made},
        },
    )


def _collect(store: ArtifactStore, keep_runs: int | None, days: float) -> tuple[int, str]:
    """Remove what nothing needs; return how much that was, and a sentence for the state."""
    if keep_runs is None:
        return 0, ""
    try:
        removed = collect(store, keep_runs=keep_runs, draft_days=days)
    except StoreInUse:
        return 0, " Nothing was collected: another run is at work in the store."
    return len(removed), f" {len(removed)} old artifacts were removed." if removed else ""


def inbox_trigger() -> dict[str, Any]:
    """Return the trigger that starts a reprocessing when files are said to have arrived."""
    return {"name": "reprocess-after-arrival", "expect": [ARRIVED], "enabled": True}


DEPLOYED = {
    "reprocess": {
        "name": "scheduled",
        "schedules": [{"cron": CRON, "timezone": "UTC", "active": True}],
        "triggers": [inbox_trigger()],
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
    }
}
"""What the deployment has that others do not; see flows/deployments.py."""
