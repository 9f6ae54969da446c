"""Prefect events of the pipeline: sent at least once, the same for the same artifacts."""

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from conf.keys import canonical_json
from conf.runtime import Runtime

PREPROCESSED, FEATURED = "preprocess.completed", "features.completed"


def announce(
    event: str,
    batch_id: str,
    artifacts: Mapping[str, str],
    path: str,
    runtime: Runtime,
    *,
    goes_on: bool = False,
) -> None:
    """Send `event` of a batch: its id, the keys of its artifacts, its JSON file, the store.

    Its resource is `featuremill.run.<batch_id>` where the run itself `goes_on` to the next stage,
    so that no other need; else `featuremill.batch.<batch_id>`. Events that tell the same have one
    id: a server that has one takes no other.
    """
    from prefect.events import emit_event

    resource = f"featuremill.{'run' if goes_on else 'batch'}.{batch_id}"
    payload = {
        "batch_id": batch_id,
        "artifacts": dict(artifacts),
        "path": path,
        "store": str(runtime.store),
    }
    emit_event(
        event,
        resource={"prefect.resource.id": resource, "prefect.resource.name": batch_id},
        payload=payload,
        id=event_id(event, resource, payload),
    )


def event_id(event: str, resource: str, payload: Mapping[str, Any]) -> UUID:
    """Return the id of what is told."""
    return uuid5(NAMESPACE_URL, canonical_json([event, resource, dict(payload)]))
