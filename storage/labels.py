"""Zero-shot labels on disk: Parquet rows of image content, rank, label, confidence and cosine."""

from typing import TYPE_CHECKING

import numpy as np

from conf.labels import LabelRecipe
from storage.kinds import Kind
from storage.parts import PartWriter
from storage.steps import step
from storage.store import Artifact, ArtifactStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import pandas as pd

LABELS = "labels.parquet"
COLUMNS = ("content_sha256", "rank", "label", "confidence", "cosine")


def write_part(
    writer: PartWriter,
    contents: "Sequence[str]",
    labels: "np.ndarray[Any, Any]",
    confidences: "np.ndarray[Any, Any]",
    cosines: "np.ndarray[Any, Any]",
) -> None:
    """Write the labels of `contents`: three arrays (n, top), best first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, top = labels.shape
    table = pa.table(
        {
            "content_sha256": pa.array(np.repeat(np.asarray(contents, dtype=object), top)),
            "rank": pa.array(np.tile(np.arange(1, top + 1, dtype=np.int16), count)),
            "label": pa.array(labels.ravel().tolist(), pa.string()),
            "confidence": pa.array(confidences.ravel().astype(np.float32)),
            "cosine": pa.array(cosines.ravel().astype(np.float32)),
        }
    )
    path = writer.folder / LABELS
    with step("write", path):
        pq.write_table(table, path)


def open_labels(store: ArtifactStore, artifact: Artifact) -> "pd.DataFrame":
    """Return the labels as a table: content_sha256, rank (1 is best), label, confidence, cosine."""
    import pandas as pd

    parts = store.path_of(artifact) / "parts"
    tables = [pd.read_parquet(parts / m.part / LABELS) for m in store.markers(artifact)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


KINDS = (Kind(name=LabelRecipe.kind, open=open_labels, part_rows=1 << 16),)
