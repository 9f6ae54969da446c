"""Prefect events of the pipeline: sent at least once, the same for the same artifacts."""

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from conf.keys import canonical_json
from conf.runtime import Runtime

PREPROCESSED, FEATURED = "preprocess.completed", "features.completed"


def event_id(event: str, batch_id: str, payload: Mapping[str, Any]) -> UUID:
    """Return the id of an event: one that was taken already is not taken again."""
    return uuid5(NAMESPACE_URL, canonical_json([event, batch_id, dict(payload)]))


def announce(
    event: str, batch_id: str, artifacts: Mapping[str, str], path: str, runtime: Runtime
) -> None:
    """Send `event` of a batch: its id, the keys of its artifacts, its JSON file, the store."""
    from prefect.events import emit_event

    payload = {
        "batch_id": batch_id,
        "artifacts": dict(artifacts),
        "path": path,
        "store": str(runtime.store),
    }
    emit_event(
        event,
        resource={
            "prefect.resource.id": f"featuremill.batch.{batch_id}",
            "prefect.resource.name": batch_id,
        },
        payload=payload,
        id=event_id(event, batch_id, payload),
    )
