"""Concept stores as tables of text: best concepts, hits of a search, a probe's accuracy."""

import numpy as np

from storage.concepts import ConceptScores, ConceptStore, Probe

Rows = list[tuple[str, ...]]


def best_rows(
    store: ConceptStore, scores: ConceptScores, top: int = 3, most: int = 25
) -> tuple[tuple[str, ...], Rows]:
    """Return header and rows: the first `most` images with their `top` best concepts."""
    names = scores.names("concept")
    values = scores.read("concept_scores", store.contents[:most])
    order = np.argsort(-values, axis=1, kind="stable")[:, :top]
    rows: Rows = [
        (str(uri), *(f"{names[best]} {row[best]:.0%}" for best in chosen))
        for uri, row, chosen in zip(store.column("uri")[:most], values, order, strict=True)
    ]
    return ("image", *(f"concept {rank}" for rank in range(1, order.shape[1] + 1))), rows


def probe_rows(probe: Probe) -> tuple[tuple[str, ...], Rows]:
    """Return header and rows: how right a probe is, by split."""
    header = ("split", "labelled images", "named rightly", "always the commonest label")
    rows: Rows = [
        (split, f"{probe.rows[split]:,}", f"{share:.1%}", f"{probe.chance:.1%}")
        for split, share in probe.accuracy.items()
    ]
    return header, rows
