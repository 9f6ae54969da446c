"""Technical quality: every score an artifact, so that weights that arrive later redo one."""

from importlib.metadata import version

from conf.dataset import SourceSpec
from conf.models import ModelSpec
from conf.prompts import PromptSet
from conf.quality import (
    BrisqueRecipe,
    ClipIqaRecipe,
    NoiseRecipe,
    PiqClipIqaRecipe,
    QualityRecipe,
    QualitySettings,
)
from flows.prompts import make_prompts
from flows.run import Run
from storage.dataset import Ledger
from storage.drafts import Making
from storage.store import Artifact
from tasks.quality import (
    measure_noise,
    measure_part,
    score_brisque,
    score_clip_iqa,
    score_clip_iqa_piq,
)
from tasks.quality.weights import find_brisque, find_clip_iqa, sha256_of


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
