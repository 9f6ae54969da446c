"""The concept store: a dataset, its features and prompts in one file, scored, and a probe on it."""

from conf.concepts import (
    ConceptRecipe,
    ConceptTextRecipe,
    Preset,
    ProbeRecipe,
    ScoreRecipe,
    template_sets,
)
from conf.images import ImageRecipe
from conf.load import load_preset
from conf.models import ModelSpec
from conf.prompts import PromptSet
from conf.runtime import Runtime
from flows.dataset import make_dataset
from flows.images import make_images
from flows.prompts import make_prompts
from flows.run import Run, Table
from storage.concepts import ConceptScores, ConceptStore
from storage.concepts.probe import open_probe
from storage.concepts.view import inputs_of, part_rows
from storage.dataset.places import rooted
from storage.drafts import Making
from storage.images import ImageFeatures
from storage.store import Artifact
from tasks.concepts.making import encode_concept_texts, make_probe, score_images, store_concepts
from tasks.declaring import flow
from tasks.pages.concepts import best_rows, probe_rows


@flow(name="concepts", flow_run_name="concepts-of-{preset.source.source}")
def concept_store(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Make the concept store of `preset`, its scores, and a probe where one is asked for."""
    run = Run("concepts", runtime or Runtime())
    make_all(run, preset)
    return run.close()


def make_all(run: Run, preset: Preset, prefix: str = "") -> None:
    """Make everything that `preset` asks for, and show what is worth reading."""
    concepts = make_store(run, preset, prefix)
    scores = make_scores(run, preset, concepts, f"{prefix}scores")
    run.show(lambda: _best(run, concepts, scores))
    if preset.probe:
        recipe = ProbeRecipe(folds=preset.probe.folds, train_split=preset.probe.train_split)
        inputs = {"concepts": run.store.key_of(concepts), "scores": run.store.key_of(scores)}
        making = Making(recipe, inputs, ("probe",))
        probe = run.make(f"{prefix}probe", making, make_probe, concepts, scores)
        title = "Labels from concepts"
        run.show(lambda: Table(title, *probe_rows(open_probe(run.store, probe))))


def _best(run: Run, concepts: Artifact, scores: Artifact) -> Table:
    reader = ConceptStore(run.store, concepts)
    return Table("Best concepts", *best_rows(reader, ConceptScores(run.store, scores)))


def make_store(run: Run, preset: Preset, prefix: str = "") -> Artifact:
    """Return the concept store of `preset`, and of everything that it is made of."""
    dataset, ledger = make_dataset(run, preset.source, f"{prefix}dataset")
    model = run.resolve(preset.model)
    sets = template_sets(preset.concepts, preset.labels)
    prompts = {
        name: make_prompts(run, model, said, f"{prefix}{name}") for name, said in sets.items()
    }
    recipe = ImageRecipe(model=model, tokens=preset.tokens)
    images = make_images(run, recipe, dataset, ledger, preset.source, f"{prefix}features")
    texts = make_texts(run, model, sets, f"{prefix}texts") if preset.tokens else None
    keys = {name: run.store.key_of(artifact) for name, artifact in prompts.items()}
    text_key = run.store.key_of(texts) if texts else None
    inputs = inputs_of(run.store.key_of(dataset), run.store.key_of(images), keys, text_key)
    rows = part_rows(ImageFeatures(run.store, images), tokens=preset.tokens)
    wanted = ConceptRecipe(concepts=preset.concepts, labels=preset.labels, metadata=preset.metadata)
    made = {
        "images": len(ledger.contents),
        "random_weights": model.is_random,
        # Where heatmaps find the pictures again; it decides nothing, and names no place of ours.
        "source": rooted(preset.source, run.runtime),
    }
    return run.make(
        f"{prefix}concepts", Making(wanted, inputs, rows), store_concepts,
        dataset, images, prompts, texts, made=made,
    )  # fmt: skip


def make_texts(run: Run, model: ModelSpec, sets: dict[str, PromptSet], name: str) -> Artifact:
    """Return what patches are compared with: text tokens and the space of patches."""
    recipe = ConceptTextRecipe(model=model, prompts=sets)
    return run.make(name, Making(recipe, {}, tuple(sets)), encode_concept_texts)


def make_scores(run: Run, preset: Preset, concepts: Artifact, name: str) -> Artifact:
    """Return the scores of every image, by the contract of `preset`."""
    recipe = ScoreRecipe(token_rule=preset.token_rule, top_tokens=preset.top_tokens)
    contents = tuple(dict.fromkeys(ConceptStore(run.store, concepts).contents))
    making = Making(recipe, {"concepts": run.store.key_of(concepts)}, contents)
    return run.make(name, making, score_images, concepts)


def demo_step(run: Run) -> None:
    """Find concepts in the sample photographs."""
    make_all(run, Preset.model_validate(load_preset("sample_concepts").settings), "concept-")


FLOW = concept_store
