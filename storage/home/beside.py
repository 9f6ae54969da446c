"""What the store knows of single images: labels, scores and boxes, each of its newest artifact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.catalog import Entry
from storage.home.view import StoreView

if TYPE_CHECKING:
    import pyarrow as pa

_SCORES = {
    "photo-quality": ("sharpness", "exposure", "noise"),
    "photo-clip-iqa": ("clip_iqa",),
    "photo-clip-iqa-piq": ("clip_iqa",),
    "photo-brisque": ("brisque",),
    "photo-noise": ("sigma",),
}
_BOX = ("box_x1", "box_y1", "box_x2", "box_y2")
_LABELS, _DETECTIONS = "image-labels", "detections"


@dataclass(frozen=True)
class Box:
    """A detection, in pixels of the upright image."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: str
    confidence: float


@dataclass
class Sight:
    """What the store knows of one image."""

    labels: list[tuple[str, float]] = field(default_factory=list)
    """With their confidences, best first."""
    scores: dict[str, float | None] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    """Why a score is None."""
    boxes: list[Box] = field(default_factory=list)
    is_looked_at: bool = False
    """Whether a detector saw it: no boxes then mean that it found nothing."""


@dataclass(frozen=True)
class Beside:
    """The newest artifact of each kind that tells of single images."""

    view: StoreView
    told_by: Mapping[str, Entry]
    problems: list[str] = field(default_factory=list)
    """What could not be read, and why."""

    @classmethod
    def of(cls, view: StoreView, *keys: str) -> "Beside":
        """Return what tells of the images that `keys`, of dataset and content, mean."""
        found: dict[str, Entry] = {}
        for entry in view.concerning(*keys):
            if entry.kind in {_LABELS, _DETECTIONS, *_SCORES}:
                found.setdefault(entry.kind, entry)
        return cls(view, found)

    def sights(self, contents: Sequence[str]) -> dict[str, Sight]:
        """Return what is known of each of `contents`; what cannot be read joins `problems`."""
        sights = {content: Sight() for content in contents}
        for kind, entry in self.told_by.items():
            try:
                self._add(kind, entry, sights)
            except (OSError, ValueError, KeyError) as problem:
                self.problems.append(f"{entry.key} cannot be read: {problem}")
        return sights

    def _add(self, kind: str, entry: Entry, sights: Mapping[str, Sight]) -> None:
        folder = str(self.view.store.folder(entry.key))
        if kind == _LABELS:
            columns = ("rank", "label", "confidence")
            for row in sorted(_rows(folder, "labels.parquet", columns, sights), key=_rank):
                sight = sights[row["content_sha256"]]
                sight.labels.append((row["label"], float(row["confidence"])))
        elif kind == _DETECTIONS:
            self._add_boxes(folder, sights)
        else:
            for row in _rows(folder, "scores.parquet", (*_SCORES[kind], "reason"), sights):
                sight = sights[row["content_sha256"]]
                sight.scores |= {name: row[name] for name in _SCORES[kind]}
                sight.reasons += [row["reason"]] if row["reason"] else []

    def _add_boxes(self, folder: str, sights: Mapping[str, Sight]) -> None:
        from storage.detections.parts import ModelCard

        part = next((path for path in sorted(Path(folder, "parts").glob("*/"))), None)
        names = ModelCard.read(part).names if part else ()
        for row in _rows(folder, "images.parquet", ("detections",), sights):
            sights[row["content_sha256"]].is_looked_at = True
        wanted = (*_BOX, "confidence", "class_id")
        for row in _rows(folder, "predictions.parquet", wanted, sights):
            x1, y1, x2, y2 = (float(row[name]) for name in _BOX)
            box = Box(x1, y1, x2, y2, names[row["class_id"]], float(row["confidence"]))
            sights[row["content_sha256"]].boxes.append(box)


def _rank(row: Mapping[str, Any]) -> int:
    return int(row["rank"])


def _rows(
    folder: str, name: str, columns: Sequence[str], wanted: Mapping[str, Any]
) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    table = _table(folder, name, ("content_sha256", *columns))
    chosen = pc.is_in(table["content_sha256"], value_set=pa.array(list(wanted), pa.string()))
    rows: list[dict[str, Any]] = table.filter(chosen).to_pylist()
    return rows


@lru_cache(maxsize=12)
def _table(folder: str, name: str, columns: tuple[str, ...]) -> "pa.Table":
    """Return a file of all parts as one table; what is published never changes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for path in sorted(Path(folder).glob(f"parts/*/{name}")):
        with pq.ParquetFile(path) as file:
            tables.append(file.read(columns=list(columns)).select(list(columns)))
    if not tables:
        raise FileNotFoundError(f"there is no {name} in its parts")
    return pa.concat_tables(tables)
