"""Batches of photos: put together from what was made, handed from stage to stage, exported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.dataset import SourceSpec
from conf.runtime import Runtime
from storage.dataset import Ledger, open_rows
from storage.labels import open_labels
from storage.photos import rows_by_content
from storage.photos.exports import IMAGES, export_file, relative_uri
from storage.readers.files import path_of
from storage.readers.photo_batch import BatchPlaces
from storage.readers.protocol import Unreadable
from storage.store import Artifact, ArtifactStore
from tasks.photos.features import Scores, features_of

Tree = dict[str, Any]
JPEGS = ("ranking", "standard")
"""The upright original, and the same at its standard size."""
URIS = ("original_uri", "ranking_uri", "std_uri")
EXIF = (
    "camera", "lens", "iso", "aperture", "shutter_speed", "focal_length", "datetime",
)  # fmt: skip


@dataclass(frozen=True)
class Originals:
    """Where the photos of a source lie."""

    ledger: Ledger
    source: SourceSpec
    runtime: Runtime

    def uris(self, folder: Path) -> dict[str, list[str]]:
        """Return, by content, the uris relative to `folder` of all files that hold it."""
        rows = open_rows(self.source, self.runtime.roots)
        found: dict[str, list[str]] = {}
        for row in self.ledger.rows():
            if row.status == "ok" and row.sha256:
                found.setdefault(row.sha256, []).append(self._uri(rows, row.uri, folder))
        return found

    def failed(self, folder: Path) -> list[Tree]:
        """Return the photos that could not be taken up, each with its reason."""
        rows = open_rows(self.source, self.runtime.roots)
        return [
            {
                "photo_id": row.sha256,
                "original_uri": self._uri(rows, row.uri, folder),
                "stage": "ingest",
                "reason": row.reason,
            }
            for row in self.ledger.rows()
            if row.status != "ok"
        ]

    def _uri(self, rows: Any, uri: str, folder: Path) -> str:
        try:
            stamp = rows.stamp(uri)
        except Unreadable:  # gone, or no file: what it was called is told all the same
            root = getattr(self.source, "root", None)
            return relative_uri(root / path_of(uri), folder) if root else uri
        return uri if stamp.member else relative_uri(stamp.path, folder)


def ingested(originals: Originals, exif: Artifact, batch_id: str, folder: Path) -> Tree:
    """Return the batch after ingest: a photo for each content, duplicates named."""
    facts = rows_by_content(ArtifactStore(originals.runtime.store), exif)
    uris = originals.uris(folder)
    photos = [_ingested(content, uris[content], facts[content]) for content in uris]
    failed = originals.failed(folder)
    return {"batch_id": batch_id, "artifacts": photos} | ({"failed": failed} if failed else {})


def _ingested(content: str, uris: Sequence[str], facts: Mapping[str, Any]) -> Tree:
    place = {n: facts[n] for n in ("latitude", "longitude", "altitude") if facts[n] is not None}
    photo: Tree = {
        "photo_id": content,
        "original_uri": uris[0],
        "exif": {name: facts[name] for name in EXIF} | {"gps": place or None},
        "format": facts["format"],
    }
    if facts["owner"]:
        photo["owner"] = facts["owner"]
    return photo | ({"duplicates": list(uris[1:])} if uris[1:] else {})


def ranked(batch: Tree, standard: Artifact, runtime: Runtime) -> Tree:
    """Return `batch`, as it was ingested, with the upright original of every photo."""
    rows = rows_by_content(ArtifactStore(runtime.store), standard)
    return _each(batch, lambda photo: _named(photo, rows, "original_uri", "ranking_uri", "ranking"))


def preprocessed(batch: Tree, standard: Artifact, runtime: Runtime) -> Tree:
    """Return `batch` after preprocessing, duplicates named last."""
    rows = rows_by_content(ArtifactStore(runtime.store), standard)

    def one(photo: Tree) -> Tree:
        named = _named(photo, rows, "ranking_uri", "std_uri", "standard")
        twins = {"duplicates": named.pop("duplicates")} if "duplicates" in named else {}
        return named | {"processing_metadata": _processing(rows[photo["photo_id"]])} | twins

    return _each(batch, one)


def in_store(batch: Tree, standard: Artifact, runtime: Runtime) -> Tree:
    """Return `batch` with the standard images where the store has them, relative to the store."""
    store = ArtifactStore(runtime.store)
    rows = rows_by_content(store, standard)

    def one(photo: Tree) -> Tree:
        row = rows[photo["photo_id"]]
        return photo | {"std_uri": relative_uri(row["folder"] / row["standard"], store.path)}

    return _each(batch, one)


def export_images(
    standard: Artifact, folder: Path, runtime: Runtime, which: Sequence[str] = JPEGS
) -> None:
    """Put the JPEGs of a batch into `folder`."""
    for row in rows_by_content(ArtifactStore(runtime.store), standard).values():
        for name in (row[one] for one in which):
            export_file(row["folder"] / name, folder / IMAGES / name)


def _each(batch: Tree, change: Callable[[Tree], Tree]) -> Tree:
    return batch | {"artifacts": [change(photo) for photo in batch["artifacts"]]}


def _named(
    photo: Tree, rows: Mapping[str, Mapping[str, Any]], after: str, field: str, jpeg: str
) -> Tree:
    """Return `photo` with the uri of a JPEG in `field`, right behind the field `after`."""
    uri, done = f"./{IMAGES}/{rows[photo['photo_id']][jpeg]}", {}
    for name, value in photo.items():
        done[name] = value
        if name == after:
            done[field] = uri
    return done


def _processing(row: Mapping[str, Any]) -> Tree:
    return {
        "original_size": [row["original_width_px"], row["original_height_px"]],
        "standardized_size": [row["width_px"], row["height_px"]],
        "processing_method": row["processing_method"],
    }


def with_features(
    batch: Tree, contents: Mapping[str, str], scores: Scores, faults: Mapping[str, str]
) -> Tree:
    """Return `batch` with the features of every photo; all other fields as they were.

    `contents` is the sha256 of each photo's standard image, `faults` why a photo has none, both by
    photo_id. What fails here is listed under `failed`, too.
    """
    photos, failed = [], [f for f in batch.get("failed", ()) if f.get("stage") != "features"]
    for photo in batch["artifacts"]:
        photo_id = photo["photo_id"]
        features = features_of(photo_id, contents.get(photo_id), scores, faults.get(photo_id))
        photos.append(photo | {"features": features})
        if reason := features.get("missing", {}).get("photo"):
            failed.append(
                {
                    "photo_id": photo_id,
                    "original_uri": photo["original_uri"],
                    "stage": "features",
                    "reason": reason,
                }
            )
    rest = {name: value for name, value in batch.items() if name != "failed"}
    return rest | {"artifacts": photos} | ({"failed": failed} if failed else {})


def table_rows(batch: Tree) -> list[Tree]:
    """Return a row for each photo of `batch`, also for those that failed: their rows have `failed`,
    the stage and the reason."""
    failed = {failure.get("original_uri"): failure for failure in batch.get("failed", ())}
    rows = [photo | _failure(failed.pop(photo["original_uri"], {})) for photo in batch["artifacts"]]
    rest = [
        {"photo_id": failure.get("photo_id"), "original_uri": uri} | _failure(failure)
        for uri, failure in failed.items()
    ]
    return rows + rest


def _failure(told: Mapping[str, Any]) -> Tree:
    return {"failed": {name: told.get(name) for name in ("stage", "reason")}} if told else {}


def standards(ledger: Ledger) -> tuple[dict[str, str], dict[str, str]]:
    """Return, by photo_id, the content of each standard image, and why there is none."""
    contents, faults = {}, {}
    for row in ledger.rows():
        if row.status == "ok" and row.sha256:
            contents[row.uri] = row.sha256
        else:
            faults[row.uri] = row.reason or "unreadable"
    return contents, faults


def changed(originals: Ledger) -> dict[str, str]:
    """Return, by photo_id, why an original is not the content that its photo_id names.

    One that has that content and cannot be decoded is none of them: its standard image can.
    """
    faults = {}
    for row in originals.rows():
        if row.sha256 and row.sha256 != row.uri:
            told = f"the original's content is {row.sha256[:16]}..., not what photo_id names"
            faults[row.uri] = f"changed: {told}"
        elif not row.sha256:
            faults[row.uri] = f"original {row.reason}"
    return faults


def moved(batch: Tree, base: Path, folder: Path) -> Tree:
    """Return `batch`, whose uris are relative to `base`, with uris relative to `folder`; those that
    cannot be paths as they are."""
    if base.resolve() == folder.resolve():
        return batch
    places = BatchPlaces(base, (Path("/"),))

    def uri(told: str) -> str:
        try:
            return relative_uri(places.path(told), folder)
        except Unreadable:
            return told

    def uris(told: Tree, *names: str) -> Tree:
        return {name: uri(told[name]) for name in names if told.get(name)}

    def one(photo: Tree) -> Tree:
        twins = [uri(twin) for twin in photo.get("duplicates") or ()]
        return photo | uris(photo, *URIS) | ({"duplicates": twins} if twins else {})

    failed = [failure | uris(failure, "original_uri") for failure in batch.get("failed", ())]
    return _each(batch, one) | ({"failed": failed} if failed else {})


def labels_by_content(store: ArtifactStore, labels: Artifact) -> dict[str, list[Tree]]:
    """Return the labels of every content, best first."""
    found: dict[str, list[Tree]] = {}
    for row in open_labels(store, labels).to_dict("records"):
        found.setdefault(row["content_sha256"], []).append({str(k): v for k, v in row.items()})
    return found
