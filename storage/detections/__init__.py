"""Detections on disk: parts, the database over them, and what may be asked of both."""

from conf.detections import DetectionRecipe
from storage.detections.database import finish
from storage.detections.parts import copy_rows
from storage.detections.reading import Detections
from storage.kinds import Kind

__all__ = ["KINDS", "Detections"]

KINDS = (
    Kind(
        name=DetectionRecipe.kind,
        open=Detections,
        part_rows=64,
        finish=finish,
        copy_rows=copy_rows,
    ),
)
