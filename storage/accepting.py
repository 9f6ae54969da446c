"""Accepting: an artifact of an older recipe version declared as good as one of the present version.

A version is raised when code changes what the same recipe makes. Where a user knows that the change
does not touch an artifact, its sealed parts are linked under the present key, what is derived from
them is made anew, and `accepted/<present key>.json` says who was taken for whom, and why.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ValidationError

from conf.errors import RecipeError
from conf.keys import ArtifactKey
from conf.load import validate
from storage.atomic import make_directory, write_json
from storage.drafts import Making
from storage.kinds import recipe_of
from storage.publishing import driving, seal
from storage.store import Artifact, ArtifactStore
from storage.takeover import Donation


@dataclass(frozen=True)
class Accepted:
    """One declaration, as `accepted/<key>.json` holds it."""

    key: str
    """The present key that `instead` is taken for."""
    instead: str
    """The key of the older artifact."""
    because: str
    at: str


def accept(store: ArtifactStore, artifact: Artifact, because: str) -> Artifact:
    """Publish the parts of `artifact` under the key of the present version, and put it on record.

    Inputs that were accepted before are taken by their present keys. Raises RecipeError when the
    artifact is of the present version, or when its recipe no longer fits: then it is not a matter
    of versions.
    """
    making = _present(store, artifact)
    if str(making.key) == artifact.key:
        raise RecipeError(
            f"{artifact.key} is of the present version of its kind: there is nothing to accept. "
            "`featuremill why KEY` says how it differs from its nearest relative."
        )
    own = [
        Donation(store.path_of(artifact) / "parts", marker) for marker in store.markers(artifact)
    ]
    with driving(store, making, offers=own) as draft:
        if draft and (missing := draft.pending()):
            raise RecipeError(
                f"{len(missing)} parts of {artifact.key} are damaged and cannot be accepted. "
                "`featuremill verify` quarantines it; run its flow again to make them anew."
            )
        _put_on_record(store, Accepted(str(making.key), artifact.key, because, _now()))
        made = store.manifest(artifact.key).made
        return seal(store, making.key, made=dict(made) | {"accepted_from": artifact.key})


def accepted(store: ArtifactStore) -> list[Accepted]:
    """Return every declaration, sorted by key."""
    paths = sorted((store.path / "accepted").glob("*.json"))
    return [Accepted(**json.loads(path.read_bytes())) for path in paths]


def _present(store: ArtifactStore, artifact: Artifact) -> Making:
    """Return what the present code would make of the recipe and inputs of `artifact`."""
    manifest = store.manifest(artifact.key)
    kind = recipe_of(artifact.kind)
    now_called = {one.instead: one.key for one in accepted(store)}
    keys = {name: now_called.get(key, key) for name, key in manifest.inputs.items()}
    try:
        recipe = validate(kind, dict(manifest.recipe), artifact.key)
    except (RecipeError, ValidationError) as problem:
        raise RecipeError(
            f"The recipe of {artifact.key} does not fit the present one of its kind, so more than "
            f"a version has changed: {problem}\nRun its flow again; it is made anew."
        ) from problem
    rows = [row for marker in store.markers(artifact) for row in marker.rows]
    inputs = {name: ArtifactKey.parse(key) for name, key in keys.items()}
    return Making(recipe, inputs, rows)


def _put_on_record(store: ArtifactStore, declared: Accepted) -> Path:
    path = store.path / "accepted" / f"{declared.key}.json"
    make_directory(path.parent)
    write_json(path, asdict(declared))
    return path


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
