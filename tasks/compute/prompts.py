"""Prompt ensembles, and the hash that names a list of texts."""

import hashlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float32

from tasks.compute.norms import unit_rows


def ensemble(
    features: Float32[np.ndarray, "prompts dim"], templates: int
) -> Float32[np.ndarray, "words dim"]:
    """Return one unit feature a word: unit norm, mean over its `templates` prompts, unit norm
    again.

    `features` lie word by word. The rule is open_clip's `build_zero_shot_classifier`
    (open_clip/zero_shot_classifier.py); without the second norm a word whose templates disagree
    would score lower for it.
    """
    units = unit_rows(features).reshape(-1, templates, features.shape[1])
    return unit_rows(units.mean(axis=1))


def texts_hash(texts: Iterable[str]) -> str:
    """Return the sha256, in hex, over each text's UTF-8 bytes followed by NUL."""
    hasher = hashlib.sha256()
    for text in texts:
        hasher.update(text.encode() + b"\0")
    return hasher.hexdigest()
