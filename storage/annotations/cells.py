"""Ground truth of rendered scenes: masks of what is seen of each cell, boxes tight around them."""

from pathlib import Path

import numpy as np

from conf.annotations import CellLabels
from conf.dataset import SourceSpec
from conf.sources.cells import Source
from storage.annotations.collecting import Collected, images_of
from storage.annotations.rle import box_of, encode
from storage.annotations.truth import Annotations
from storage.dataset.ledger import Ledger
from storage.readers.cells.kinds import KINDS
from storage.readers.cells.scene import scene
from storage.readers.protocol import SourceUnusable


def read(
    labels: CellLabels, source: SourceSpec, ledger: Ledger, roots: tuple[Path, ...]
) -> Annotations:
    """Return what lies in the scenes of `ledger`; none is painted for it.

    Raises SourceUnusable when they come from another source.
    """
    if not isinstance(source, Source):
        raise SourceUnusable(
            f'labels.format = "cells" is what the source "cells" knows of its scenes; the source '
            f'is {source.source!r}. Take its own labels: "yolo", "coco" or "voc".'
        )
    collected = Collected([k.name for k in KINDS], [k.superclass for k in KINDS])
    for image in images_of(ledger):
        found = scene(source.seed, int(image.uri), source.size_px)
        seen = collected.of(image, image.uri)
        for at, cell in enumerate(found.cells):
            mask = found.seen == at + 1
            box = box_of(mask)
            assert box is not None  # no cell is hidden by more than half
            x1, y1, x2, y2 = box.astype(np.float64).tolist()
            seen.add_box(at, cell.class_id, (x1, y1, x2, y2), encode(mask))
        seen.close()
    return collected.annotations()
