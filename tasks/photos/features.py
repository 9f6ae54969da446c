"""The `features` of a photo, put together from what was made of its content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from storage.quality import CHANNELS, CLIPPED, LEVELS

Row = Mapping[str, Any]
Tree = dict[str, Any]
TECH = ("sharpness", "exposure", "noise", "clip_iqa", "brisque")
NOT_MADE = "not made"


@dataclass(frozen=True)
class Scores:
    """What was made of all photos of a batch, by content."""

    quality: Mapping[str, Row]
    """Of standard images, as are the others, `noise` excepted."""
    labels: Mapping[str, Sequence[Row]]
    noise: Mapping[str, Row] = field(default_factory=dict)
    """By photo_id: of originals."""
    brisque: Mapping[str, Row] = field(default_factory=dict)
    clip_iqa: Mapping[str, Row] = field(default_factory=dict)
    brisque_by: Tree = field(default_factory=dict)
    """Backend and weights, for every photo the same."""
    clip_iqa_by: Tree = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    """Why a score, or `clip_labels`, was not made of any photo, such as missing weights."""


def features_of(
    photo_id: str, content: str | None, scores: Scores, failure: str | None = None
) -> Tree:
    """Return `features` of the photo whose standard image is `content`; a failed one has nulls."""
    if content is None or failure or content not in scores.quality:
        return _failed(failure or "unreadable: the standard image was not taken up")
    quality = scores.quality[content]
    brisque, clip_iqa = scores.brisque.get(content, {}), scores.clip_iqa.get(content, {})
    noise = scores.noise.get(photo_id, {})
    rows = {"brisque": brisque, "clip_iqa": clip_iqa}
    tech = {name: rows.get(name, quality).get(name) for name in TECH}
    features = {
        "tech": tech,
        "clip_labels": _labels(scores.labels.get(content, ())),
        "tech_raw": _raw(quality, noise, brisque, clip_iqa, scores),
    }
    reasons = {name: rows.get(name, quality).get("reason") for name in TECH}
    missing = {
        name: scores.absent.get(name) or reasons[name] or NOT_MADE
        for name in TECH
        if tech[name] is None
    }
    if not features["clip_labels"]:
        missing["clip_labels"] = scores.absent.get("clip_labels") or NOT_MADE
    if noise.get("sigma") is None:
        missing["sigma"] = noise.get("reason") or scores.absent.get("sigma") or NOT_MADE
    return features | ({"missing": missing} if missing else {})


def _failed(reason: str) -> Tree:
    return {
        "tech": dict.fromkeys(TECH),
        "clip_labels": [],
        "tech_raw": None,
        "missing": {"photo": reason},
    }


def _labels(rows: Sequence[Row]) -> list[Tree]:
    return [
        {
            "label": r["label"],
            "confidence": float(r["confidence"]),
            "cosine_score": float(r["cosine"]),
        }
        for r in sorted(rows, key=lambda r: r["rank"])
    ]


def _raw(quality: Row, noise: Row, brisque: Row, clip_iqa: Row, scores: Scores) -> Tree:
    raw = brisque.get("brisque_raw")
    return {
        "sharpness": {n: quality[n] for n in ("log10_energy", "log10_tile_p95")},
        "exposure": {
            channel: {what: quality[f"{channel}_{what}"] for what in LEVELS + CLIPPED}
            for channel in CHANNELS
        },
        "noise": {"sigma": noise.get("sigma"), "sigma_preview": quality["sigma_preview"]},
        "brisque": {
            "raw": raw,
            "clipped": None if raw is None else not 0 <= raw <= 100,
            **scores.brisque_by,
        },
        "clip_iqa": {"raw": clip_iqa.get("clip_iqa_raw"), **scores.clip_iqa_by},
    }
