"""A page of detections: the images of an artifact, what is known in them and what was found."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from conf.errors import RecipeError
from conf.runtime import Runtime
from storage.annotations.rle import Rle, decode
from storage.annotations.truth import Annotations
from storage.dataset.places import located
from storage.detections import Detections
from tasks.compute.detections.metrics import box_ious, match, same_classes
from tasks.dataset import open_contents
from tasks.detections.truths import open_annotations
from tasks.pages.detections import Picture, Shape, detection_page

SIDE_PX = 400
"""The longest side of a picture in the page."""
_FACTS = ("box_loss", "cls_loss", "seg_loss", "mean_iou", "hit_freq", "dice_score")
_BOX = ["box_x1", "box_y1", "box_x2", "box_y2"]


def page_of(
    found: Detections, runtime: Runtime, *, count: int = 20, images_in: Path | None = None
) -> str:
    """Return the page of `count` images, the highest box loss first.

    The images are read from the source that the detections were made of, below the roots of
    `runtime` or in `images_in`. Raises RecipeError when it is not there.
    """
    told, dataset = (found.manifest.made.get(name) for name in ("source", "dataset"))
    if told is None or dataset is None:
        raise RecipeError(
            f"{found.artifact.key} does not say where its images were: it was made by an older "
            "version. Run its preset again under another seed or source to have a page."
        )
    source = located(told, runtime, images_in)
    contents = open_contents(found.store.resolve(dataset), source, runtime)
    key = found.manifest.inputs.get("annotations")
    known = open_annotations(found.store.resolve(str(key)) if key else None, runtime)
    names = dict(zip(contents.ledger.sha256, contents.ledger.uri, strict=True))
    frame = found.images.sort_values("box_loss", ascending=False, kind="stable").head(count)
    pictures = [
        _picture(found, known, row, names[row["content_sha256"]], contents.image)
        for row in frame.to_dict("records")
    ]
    facts = [
        f"{found.manifest.recipe['model']['name']}, {len(pictures)} of {len(found.images)} images, "
        "the highest box loss first"
    ]
    return detection_page(str(found.artifact.key), facts, pictures)


def _picture(
    found: Detections, known: Annotations | None, row: Any, name: str, image_of: Any
) -> Picture:
    content = row["content_sha256"]
    image: Image.Image = image_of(content)
    small = image.convert("RGB")
    small.thumbnail((SIDE_PX, SIDE_PX))
    scale = np.array(small.size * 2) / np.array(image.size * 2)
    frame = found.predictions
    rows = frame[frame["content_sha256"] == content]
    boxes, classes = rows[_BOX].to_numpy(np.float32), rows["class_id"].to_numpy(np.int64)
    truth = known.of(content) if known else None
    is_right, is_found = None, None
    if known is not None and truth is not None:
        true = same_classes(found.names, known.names)[truth.class_ids]
        matched = match(box_ious(boxes, truth.boxes_px), classes, true)
        is_right, is_found = matched >= 0, np.isin(np.arange(len(truth)), matched)
    size = [image.height, image.width]
    masks = [
        None if counts is None else Rle(size=size, counts=counts.tolist())
        for counts in rows["mask_counts"]
    ]
    labels, sure = rows["class_name"].tolist(), rows["confidence"].tolist()
    shapes = _shapes(labels, boxes * scale, masks, small.size, sure, is_right)
    objects = None
    if known is not None and truth is not None:
        said = [known.names[number] for number in truth.class_ids]
        objects = _shapes(said, truth.boxes_px * scale, truth.masks, small.size, None, is_found)
    facts = [(one, None if row[one] != row[one] else row[one]) for one in _FACTS]
    return Picture(name, _jpeg(small), small.size, shapes, objects, facts)


def _shapes(
    names: Sequence[str],
    boxes_px: NDArray[Any],
    masks: Sequence[Rle | None],
    size_px: tuple[int, int],
    confidence: Sequence[float] | None,
    matched: NDArray[np.bool_] | None,
) -> list[Shape]:
    return [
        Shape(
            name,
            boxes_px[at].tolist(),
            None if masks[at] is None else _small(masks[at], size_px),
            None if confidence is None else confidence[at],
            None if matched is None else bool(matched[at]),
        )
        for at, name in enumerate(names)
    ]


def _small(rle: Rle | None, size_px: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask at the size of the picture: what is under the centres of its pixels."""
    assert rle is not None
    mask, (width_px, height_px) = decode(rle), size_px
    rows = ((np.arange(height_px) + 0.5) * mask.shape[0] / height_px).astype(np.int64)
    columns = ((np.arange(width_px) + 0.5) * mask.shape[1] / width_px).astype(np.int64)
    return mask[np.ix_(rows, columns)]


def _jpeg(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()
