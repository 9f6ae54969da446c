"""What was found, class by class, beside what is known."""

import numpy as np

from conf.runtime import Runtime
from storage.annotations.truth import Annotations
from storage.detections import Detections
from storage.store import Artifact, ArtifactStore
from tasks.compute.detections.metrics import box_ious, match, same_classes

HEADER = ("class", "detections", "objects", "found", "of detections right")


def class_rows(
    detections: Artifact, known: Annotations | None, runtime: Runtime
) -> list[tuple[str, ...]]:
    """Return for each class of the model that was found or is known: how many detections, objects,
    objects that a detection matches at IoU 0.5, and the share of detections that match one."""
    reader = Detections(ArtifactStore(runtime.store), detections)
    names, count = reader.names, len(reader.names)
    found, right, objects = (np.zeros(count, np.int64) for _ in range(3))
    judged = np.zeros(count, np.int64)
    in_model = same_classes(names, known.names) if known else None
    rows = reader.predictions
    boxes = rows[["box_x1", "box_y1", "box_x2", "box_y2"]].to_numpy(np.float32)
    classes, places = rows["class_id"].to_numpy(np.int64), rows.groupby("content_sha256").indices
    nothing = np.zeros(0, np.int64)
    for content in reader.contents:
        at = np.asarray(places.get(content, nothing), np.int64)
        found += np.bincount(classes[at], minlength=count)
        truth = known.of(content) if known else None
        if truth is None or in_model is None:
            continue
        true = in_model[truth.class_ids]
        matched = match(box_ious(boxes[at], truth.boxes_px), classes[at], true)
        objects += np.bincount(true[true >= 0], minlength=count)
        right += np.bincount(classes[at][matched >= 0], minlength=count)
        judged += np.bincount(classes[at], minlength=count)
    return [
        (
            name,
            f"{found[i]:,}",
            f"{objects[i]:,}" if known else "",
            f"{right[i] / objects[i]:.1%}" if objects[i] else "",
            f"{right[i] / judged[i]:.1%}" if judged[i] else "",
        )
        for i, name in enumerate(names)
        if found[i] or objects[i]
    ]
