"""From a name to its data, for notebooks and scripts."""

from pathlib import Path
from typing import Any

from conf.runtime import Runtime
from storage.kinds import find_kind
from storage.store import Artifact, ArtifactStore


def open_artifact(name: str | Artifact, store: ArtifactStore | Path | str | None = None) -> Any:
    """Return the reader of an artifact: arrays, tables and the ledger, as its kind offers them.

    `name` is a key, the start of one, a reference such as "demo/photo-labels", or a handle; `store`
    is a store or its directory, by default the one that FEATUREMILL_STORE names. Raises
    UnknownArtifact.
    """
    if not isinstance(store, ArtifactStore):
        store = ArtifactStore(store or Runtime().store, create=False)
    if isinstance(name, Artifact):
        store.path_of(name)  # refuses the handle of another store
    artifact = store.resolve(name.key if isinstance(name, Artifact) else name)
    return find_kind(artifact.kind).open(store, artifact)
