"""Concept stores as tables of text: best concepts, hits of a search, a probe's accuracy."""

from collections.abc import Sequence

import numpy as np

from storage.concepts import ConceptScores, ConceptStore, Probe
from tasks.concepts.asking import Explanation, Hit, Twins

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


def hit_rows(hits: Sequence[Hit]) -> tuple[tuple[str, ...], Rows]:
    """Return header and rows of what a search found."""
    header = ("cosine", "row", "image", "split", "label")
    rows: Rows = [
        (f"{hit.cosine:.4f}", str(hit.row), hit.name, hit.split, str(hit.label)) for hit in hits
    ]
    return header, rows


def twin_rows(pairs: Sequence[Twins]) -> tuple[tuple[str, ...], Rows]:
    """Return header and rows of images that are in two splits."""
    rows: Rows = [
        (
            "same bytes" if pair.exact else f"cosine {pair.cosine:.4f}",
            *(f"{split} {name}" for split, name in zip(pair.splits, pair.names, strict=True)),
        )
        for pair in pairs
    ]
    return ("how near", "image", "other image"), rows


def explanation_text(found: Explanation) -> str:
    """Return in lines what a probe says of an image and why."""
    lines = [
        f"{found.name}: {found.predicted_name} ({found.probability:.0%}); its label is "
        f"{found.label if found.label >= 0 else 'unknown'}, {found.predicted} was named"
    ]
    for title, told in (("for", found.speaks_for), ("against", found.speaks_against)):
        lines += [f"  {title:<8} {added:+.2f}  {concept}" for concept, added in told]
    return "\n".join(lines)
