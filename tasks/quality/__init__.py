"""Technical quality: measure images in lanes, score what was measured by weights."""

from collections.abc import Callable, Sequence
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from conf.dataset import SourceSpec
from conf.quality import (
    BrisqueRecipe,
    ClipIqaRecipe,
    NoiseRecipe,
    PiqClipIqaRecipe,
    QualityRecipe,
)
from conf.runtime import Runtime
from storage.images import ImageFeatures
from storage.photos import write_rows
from storage.prompts import open_prompts
from storage.quality import (
    CHANNELS,
    CLIPPED,
    LEVELS,
    SCORES,
    quality_schema,
    rows_by_content,
    score_schema,
    write_thumbnails,
)
from storage.store import Artifact, ArtifactStore
from tasks.compute.norms import unit_rows
from tasks.compute.quality import technical
from tasks.compute.quality.brisque import brisque_quality, brisque_scores
from tasks.compute.quality.clip_iqa import antonym_scores
from tasks.compute.quality.natural import LEAST_SIDE_PX, Rounding, natural_features
from tasks.dataset import Contents, open_part
from tasks.declaring import part_task
from tasks.lanes import run_lanes, spans
from tasks.models.devices import enter_lane
from tasks.progress import advance
from tasks.quality.piq_rounding import piq_rounding
from tasks.quality.weights import load_brisque
from tasks.stopping import check_not_stopped

Row = dict[str, Any]
FLAT = "flat: the image has no contrast to measure"
NOT_FINITE = "not finite: the model gave NaN or infinity"
CLIPPED_ALL = "clipped: no place of the photo is flat, lit, unclipped and of more than one colour"
SMALL = f"too small: natural scene statistics need {LEAST_SIDE_PX} pixels a side"


@part_task
def measure_part(
    recipe: QualityRecipe, dataset: Artifact, *, part: str, source: SourceSpec, runtime: Runtime
) -> int:
    """Seal sharpness, exposure, noise and natural scene statistics of the contents of `part`."""
    contents, draft = open_part(recipe, dataset, source, runtime)
    wanted, rounding = draft.rows_of(part), piq_rounding()

    def measure(image: Image.Image) -> tuple[Row, bytes]:
        row = measure_image(np.asarray(image), recipe, rounding)
        return row, thumbnail(image, recipe.thumbnail_px)

    found = _in_lanes(measure, contents, wanted, runtime, str(draft.key))
    with draft.write_part(part) as writer:
        rows = [{"content_sha256": c, **row} for c, (row, _) in zip(wanted, found, strict=True)]
        write_rows(writer, rows, quality_schema(), SCORES)
        write_thumbnails(writer, wanted, [jpeg for _, jpeg in found])
    return len(wanted)


def _in_lanes(
    work: Callable[[Image.Image], Any],
    contents: Contents,
    wanted: Sequence[str],
    runtime: Runtime,
    name: str,
) -> list[Any]:
    import cv2

    found: list[Any] = [None] * len(wanted)

    def one(span: slice) -> None:
        found[span.start] = work(contents.image(wanted[span.start]))
        advance(name, 1)

    def enter() -> None:
        cv2.setNumThreads(1)  # the lanes are the threads
        enter_lane("cpu", lanes=runtime.lanes)

    run_lanes(one, spans(len(wanted), 1), lanes=runtime.lanes, on_enter=enter)
    return found


def measure_image(
    rgb: "np.ndarray[Any, np.dtype[np.uint8]]", recipe: QualityRecipe, rounding: Rounding
) -> Row:
    """Return the columns of one image, (height, width, 3) from 0 to 255; null is None."""
    grey = technical.preview(rgb, recipe.preview_px)
    sharp, sigma = technical.sharpness(grey), technical.noise_sigma(grey)
    is_small = min(rgb.shape[:2]) < LEAST_SIDE_PX
    natural = None if is_small else natural_features(rgb, rounding)
    flat = sharp.log10_energy != sharp.log10_energy
    reason = SMALL if is_small and not flat else FLAT
    row = {
        "sharpness": None if flat else sharp.score,
        "log10_energy": sharp.log10_energy,
        "log10_tile_p95": sharp.log10_tile_p95,
        "exposure": None if flat else technical.exposure(grey),
        "noise": technical.noise_score(sigma),
        "sigma_preview": sigma,
        **_channels(rgb),
    }
    finite = {name: value if value is not None and isfinite(value) else None
              for name, value in row.items()}  # fmt: skip
    if finite["sigma_preview"] is None:
        finite["noise"] = None
    told = natural is None or any(finite[n] is None for n in ("sharpness", "exposure", "noise"))
    return finite | {
        "natural": None if natural is None else natural.tolist(),
        "reason": reason if told else None,
    }


@part_task
def measure_noise(
    recipe: NoiseRecipe, dataset: Artifact, *, part: str, source: SourceSpec, runtime: Runtime
) -> int:
    """Seal the noise of the originals of `part`, each at its own resolution."""
    contents, draft = open_part(recipe, dataset, source, runtime)
    wanted = draft.rows_of(part)
    found = _in_lanes(_noise_row, contents, wanted, runtime, str(draft.key))
    with draft.write_part(part) as writer:
        rows = [{"content_sha256": c, **row} for c, row in zip(wanted, found, strict=True)]
        write_rows(writer, rows, score_schema("sigma"), SCORES)
    return len(wanted)


def _noise_row(image: Image.Image) -> Row:
    rgb = np.asarray(image)
    sigma = technical.flat_noise_sigma(rgb)
    if isfinite(sigma):
        return {"sigma": sigma}
    is_flat = bool((rgb == rgb[0, 0]).all())
    return {"reason": FLAT if is_flat else CLIPPED_ALL}


def _channels(rgb: "np.ndarray[Any, np.dtype[np.uint8]]") -> dict[str, float]:
    found = {}
    for at, channel in enumerate(CHANNELS):
        counts = technical.histogram(rgb[..., at])
        values = [*technical.percentiles(counts), *technical.clipped_fractions(counts)]
        for what, value in zip(LEVELS + CLIPPED, values, strict=True):
            found[f"{channel}_{what}"] = float(value)
    return found


def thumbnail(image: Image.Image, side_px: int) -> bytes:
    """Return a JPEG of `image`, its longest side at most `side_px`, without any metadata."""
    small = image.copy() if max(image.size) <= side_px else image.reduce(_reduction(image, side_px))
    small.thumbnail((side_px, side_px), Image.Resampling.BILINEAR)
    small.info.clear()
    out = BytesIO()
    small.save(out, "JPEG", quality=78)
    return out.getvalue()


def _reduction(image: Image.Image, side_px: int) -> int:
    return max(1, max(image.size) // (2 * side_px))


@part_task
def score_brisque(
    recipe: BrisqueRecipe,
    quality: Artifact,
    *,
    part: str,
    weights: Path | None,
    runtime: Runtime,
) -> int:
    """Seal BRISQUE of the images of one part, from their natural scene statistics."""
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    draft = store.open_draft(recipe.key(quality=store.key_of(quality)))
    wanted = draft.rows_of(part)
    known = rows_by_content(store, quality, columns=("natural", "reason"))
    model = load_brisque(recipe, weights, runtime)
    features = [known[content]["natural"] or [np.nan] * 36 for content in wanted]
    raw = brisque_scores(np.array(features, dtype=np.float64).reshape(-1, 36), model)
    rows = [
        _brisque_row(content, score, good, known[content]["reason"])
        for content, score, good in zip(wanted, raw, brisque_quality(raw), strict=True)
    ]
    with draft.write_part(part) as writer:
        write_rows(writer, rows, score_schema("brisque", "brisque_raw"), SCORES)
    return len(wanted)


def _brisque_row(content: str, raw: float, good: float, reason: str | None) -> Row:
    if not np.isfinite(raw):
        return {"content_sha256": content, "reason": reason or FLAT}
    return {"content_sha256": content, "brisque": float(good), "brisque_raw": float(raw)}


@part_task
def score_clip_iqa(
    recipe: ClipIqaRecipe, images: Artifact, prompts: Artifact, *, part: str, runtime: Runtime
) -> int:
    """Seal CLIP-IQA of the images of one part, from the features that label them."""
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    key = recipe.key(images=store.key_of(images), prompts=store.key_of(prompts))
    draft = store.open_draft(key)
    wanted, texts = draft.rows_of(part), open_prompts(store, prompts)
    place = {word: row for row, word in enumerate(texts.vocabulary)}
    order = [place[word] for pair in recipe.pairs for word in pair]
    features = unit_rows(ImageFeatures(store, images).pooled(wanted).astype(np.float32))
    scores = antonym_scores(features, texts.text_features[order], scale=texts.scoring.logit_scale)
    rows = [
        {"content_sha256": content, "clip_iqa": float(score), "clip_iqa_raw": float(score)}
        for content, score in zip(wanted, scores, strict=True)
    ]
    with draft.write_part(part) as writer:
        write_rows(writer, rows, score_schema("clip_iqa", "clip_iqa_raw"), SCORES)
    return len(wanted)


@part_task
def score_clip_iqa_piq(
    recipe: PiqClipIqaRecipe,
    dataset: Artifact,
    *,
    part: str,
    source: SourceSpec,
    weights: Path | None,
    runtime: Runtime,
) -> int:
    """Seal CLIP-IQA by piq's model: on the seed's bicubic resize, and on the image as it is."""
    from tasks.quality.piq_clip_iqa import load_clip_iqa, score_image

    contents, draft = open_part(recipe, dataset, source, runtime)
    wanted = draft.rows_of(part)
    model = load_clip_iqa(recipe, weights, runtime)
    rows = []
    for content in wanted:
        resized, native = score_image(model, contents.image(content), recipe.size_px)
        scores = {"clip_iqa": resized, "clip_iqa_raw": native}
        told = {"reason": NOT_FINITE} if resized is None else {}
        rows.append({"content_sha256": content, **scores, **told})
        advance(str(draft.key), 1)
    with draft.write_part(part) as writer:
        write_rows(writer, rows, score_schema("clip_iqa", "clip_iqa_raw"), SCORES)
    return len(wanted)
