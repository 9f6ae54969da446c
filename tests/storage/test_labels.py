from typing import Any

import numpy as np
import pandas as pd

from storage.labels import LABELS, write_part
from storage.parts import PartWriter


def test_each_image_has_a_line_for_each_of_its_labels_best_first(tmp_path: Any) -> None:
    words = np.array([["cat", "dog"], ["tree", "sea"]], dtype=object)
    confidences, cosines = np.array([[0.9, 0.1], [0.7, 0.2]]), np.array([[0.3, 0.2], [0.25, 0.1]])
    write_part(PartWriter(tmp_path), ["a" * 64, "b" * 64], words, confidences, cosines)
    frame = pd.read_parquet(tmp_path / LABELS)
    assert frame["content_sha256"].tolist() == ["a" * 64] * 2 + ["b" * 64] * 2
    assert frame["rank"].tolist() == [1, 2, 1, 2]
    assert frame["label"].tolist() == ["cat", "dog", "tree", "sea"]
    assert frame["confidence"].dtype == np.float32
    np.testing.assert_allclose(frame["cosine"], cosines.ravel(), rtol=1e-6)
