"""The scores of photos, each an artifact, so that weights that arrive later redo one."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, NamedTuple

from conf.dataset import SourceSpec
from conf.images import ImageRecipe
from conf.keys import Recipe
from conf.labels import LabelRecipe
from conf.models import ModelSpec
from conf.photos import Preset
from conf.prompts import PromptSet
from conf.quality import (
    BrisqueRecipe,
    ClipIqaRecipe,
    NoiseRecipe,
    PiqClipIqaRecipe,
    QualityRecipe,
    QualitySettings,
)
from flows.images import make_images
from flows.labels import make_labels
from flows.prompts import make_prompts
from flows.run import Run
from storage.dataset import Ledger
from storage.drafts import Making
from storage.quality import THUMBNAILS, rows_by_content
from storage.store import Artifact
from tasks.models.identity import WeightsMissing
from tasks.photos.batches import labels_by_content
from tasks.photos.features import Scores
from tasks.quality import (
    measure_noise,
    measure_part,
    score_brisque,
    score_clip_iqa,
    score_clip_iqa_piq,
)
from tasks.quality.weights import find_brisque, find_clip_iqa, sha256_of

Tree = dict[str, Any]


class Images(NamedTuple):
    """A dataset and where its bytes are read."""

    dataset: Artifact
    ledger: Ledger
    source: SourceSpec


class Seen(NamedTuple):
    """The images that features are made of."""

    standards: Images
    originals: Images


class Scored(NamedTuple):
    """What was made of the images of a batch."""

    made: dict[str, Artifact]
    by: dict[str, Tree]
    """Backend and weights of the scores that need some."""
    absent: dict[str, str]
    """Scores that were not made, and why."""

    def take(self, score: str, artifact: Artifact, recipe: Recipe, **more: Any) -> None:
        """Take in a score that was made, and by what."""
        self.made[score] = artifact
        self.by[score] = recipe.model_dump(mode="json") | more


def make_scores(run: Run, preset: Preset, seen: Seen, prefix: str) -> Scored:
    """Make every score of a batch, labels too, whose weights are there."""
    settings, (dataset, ledger, source) = preset.quality, seen.standards
    done = Scored(
        made={},
        by={
            "brisque": {"backend": settings.brisque_backend},
            "clip_iqa": {"backend": settings.clip_iqa_backend},
        },
        absent={},
    )
    by_encoder = settings.clip_iqa_backend == "encoder"
    with _told_where_missing(done, "clip_labels", *["clip_iqa"] * by_encoder):
        _make_by_encoder(run, preset, seen, done, prefix)
    quality = make_quality(run, dataset, ledger, source, f"{prefix}quality")
    noise = make_noise(run, *seen.originals, f"{prefix}noise")
    done.made.update(quality=quality, noise=noise)
    with _told_where_missing(done, "brisque"):
        made, recipe = make_brisque(run, settings, quality, ledger, f"{prefix}brisque")
        done.take("brisque", made, recipe)
    if not by_encoder:
        with _told_where_missing(done, "clip_iqa"):
            name = f"{prefix}clip-iqa"
            done.take("clip_iqa", *make_piq_clip_iqa(run, settings, *seen.standards, name))
    return done


@contextmanager
def _told_where_missing(done: Scored, *scores: str) -> Iterator[None]:
    """Go on without `scores` whose weights are missing, and take down why."""
    try:
        yield
    except WeightsMissing as missing:
        done.absent.update(dict.fromkeys(scores, f"weights missing: {missing}"))


def _make_by_encoder(run: Run, preset: Preset, seen: Seen, done: Scored, prefix: str) -> None:
    """Make labels, and CLIP-IQA where it is the encoder's, too."""
    ledger, settings = seen.standards.ledger, preset.quality
    model = run.resolve(preset.model)
    prompts = make_prompts(run, model, preset.prompts, f"{prefix}prompts")
    images = make_images(run, ImageRecipe(model=model), *seen.standards, f"{prefix}features")
    labels = make_labels(
        run, LabelRecipe(top=preset.top), images, prompts, ledger, f"{prefix}labels"
    )
    done.made.update(features=images, labels=labels)
    if settings.clip_iqa_backend == "encoder":
        made, recipe = make_clip_iqa(run, settings, model, images, ledger, prefix)
        name = f"{model.family}/{model.name}"
        weights = {"size": model.preprocessing, "model": name, "weights_sha256": model.sha256}
        done.take("clip_iqa", made, recipe, **weights)


def read_scores(run: Run, scored: Scored) -> tuple[Scores, dict[str, bytes]]:
    """Return the scores of every photo of a batch, and their thumbnails by content."""
    rows = {
        name: rows_by_content(run.store, scored.made[name])
        for name in ("quality", "noise", "brisque", "clip_iqa")
        if name in scored.made
    }
    labels = scored.made.get("labels")
    scores = Scores(
        quality=rows["quality"],
        labels=labels_by_content(run.store, labels) if labels else {},
        noise=rows["noise"],
        brisque=rows.get("brisque", {}),
        clip_iqa=rows.get("clip_iqa", {}),
        brisque_by=scored.by["brisque"],
        clip_iqa_by=scored.by["clip_iqa"],
        absent=scored.absent,
    )
    small = rows_by_content(run.store, scored.made["quality"], THUMBNAILS)
    return scores, {content: row["jpeg"] for content, row in small.items()}


def make_quality(
    run: Run, dataset: Artifact, ledger: Ledger, source: SourceSpec, name: str
) -> Artifact:
    """Return sharpness, exposure, noise and natural scene statistics of the ok contents."""
    making = Making(
        QualityRecipe(), {"content": ledger.content}, ledger.contents, row_bytes=1 << 14
    )
    return run.make(name, making, measure_part, dataset, source=source)


def make_noise(
    run: Run, originals: Artifact, ledger: Ledger, source: SourceSpec, name: str
) -> Artifact:
    """Return the noise of the originals, at the resolution of the camera."""
    making = Making(NoiseRecipe(), {"content": ledger.content}, ledger.contents)
    return run.make(name, making, measure_noise, originals, source=source)


def make_brisque(
    run: Run, settings: QualitySettings, quality: Artifact, ledger: Ledger, name: str
) -> tuple[Artifact, BrisqueRecipe]:
    """Return BRISQUE of what was measured, and its recipe; raises WeightsMissing."""
    weights = settings.brisque_weights
    path = find_brisque(settings.brisque_backend, weights, run.runtime)
    recipe = BrisqueRecipe(
        backend=settings.brisque_backend, weights_sha256=sha256_of(path, run.runtime)
    )
    making = Making(recipe, {"quality": run.store.key_of(quality)}, ledger.contents)
    return run.make(name, making, score_brisque, quality, weights=weights), recipe


def make_clip_iqa(
    run: Run,
    settings: QualitySettings,
    model: ModelSpec,
    images: Artifact,
    ledger: Ledger,
    prefix: str,
) -> tuple[Artifact, ClipIqaRecipe]:
    """Return CLIP-IQA by the encoder that made `images`, and its recipe."""
    recipe = ClipIqaRecipe(pairs=settings.clip_iqa_pairs)
    words = tuple(dict.fromkeys(word for pair in recipe.pairs for word in pair))
    said = PromptSet(templates=("{}",), vocabulary=words)
    prompts = make_prompts(run, model, said, f"{prefix}antonyms")
    inputs = {"images": run.store.key_of(images), "prompts": run.store.key_of(prompts)}
    making = Making(recipe, inputs, ledger.contents)
    return run.make(f"{prefix}clip-iqa", making, score_clip_iqa, images, prompts), recipe


def make_piq_clip_iqa(
    run: Run,
    settings: QualitySettings,
    dataset: Artifact,
    ledger: Ledger,
    source: SourceSpec,
    name: str,
) -> tuple[Artifact, PiqClipIqaRecipe]:
    """Return CLIP-IQA by piq's model, and its recipe; raises WeightsMissing."""
    weights = settings.clip_iqa_weights
    folder = find_clip_iqa(weights, run.runtime)
    recipe = PiqClipIqaRecipe(
        weights_sha256=sha256_of(folder / "RN50.pt", run.runtime),
        tokens_sha256=sha256_of(folder / "clipiqa_tokens.pt", run.runtime),
        library=f"piq=={version('piq')}",
    )
    making = Making(recipe, {"content": ledger.content}, ledger.contents)
    made = run.make(name, making, score_clip_iqa_piq, dataset, source=source, weights=weights)
    return made, recipe
