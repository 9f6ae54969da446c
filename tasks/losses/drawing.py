"""Images with their detections drawn, for pages."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw

from storage.annotations.rle import decode
from storage.detections import Detections
from tasks.pages.maps.palette import class_colours

SIDE_PX = 360
_MASK_SHARE = 0.4


def drawn(image: Image.Image, found: Detections, content: str) -> bytes:
    """Return a JPEG of `image`, its longest side at most SIDE_PX, masks tinted and boxes outlined
    in the colours of their classes."""
    rows = found.predictions
    rows = rows[rows["content_sha256"] == content]
    colours = class_colours(len(found.names))
    width, height = image.size
    pixels = np.asarray(image.convert("RGB"), np.float32).copy()
    for counts, class_id in zip(rows["mask_counts"], rows["class_id"], strict=True):
        if counts is not None:
            mask = decode({"size": [height, width], "counts": [int(c) for c in counts]})
            tint = np.array(_rgb(colours[class_id % len(colours)]), np.float32)
            pixels[mask] = (1 - _MASK_SHARE) * pixels[mask] + _MASK_SHARE * tint
    scale = min(1.0, SIDE_PX / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(pixels.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    brush = ImageDraw.Draw(small)
    boxes = rows[["box_x1", "box_y1", "box_x2", "box_y2"]].to_numpy(np.float64) * scale
    for box, class_id in zip(boxes.tolist(), rows["class_id"], strict=True):
        brush.rectangle(box, outline=colours[class_id % len(colours)], width=2)
    out = BytesIO()
    small.save(out, "JPEG", quality=82)
    return out.getvalue()


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
