"""Small concept stores: an artifact of the toy encoder, its bundle, and a plain file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from conf.concepts import ConceptRecipe, ConceptTextRecipe, ScoreRecipe, template_sets
from conf.images import ImageRecipe
from conf.models import ModelSpec
from conf.prompts import PromptRecipe, PromptSet
from conf.runtime import Runtime
from conf.sources.digits import Source
from storage.concepts import ConceptStore, append_batch, init_file, write_template
from storage.concepts.store import write_bundle
from storage.concepts.view import inputs_of, part_rows
from storage.drafts import Making
from storage.images import ImageFeatures
from storage.publishing import driving, seal
from storage.store import Artifact, ArtifactStore
from tasks.concepts.making import encode_concept_texts, score_images, store_concepts
from tasks.dataset import keep_ledger, scan_source
from tasks.images import encode_part
from tasks.models.load import resolve
from tasks.prompts import encode_prompts

CONCEPTS = PromptSet(templates=("a photo of {}", "the {}"), vocabulary=("a loop", "a stroke"))
LABELS = PromptSet(templates=("the digit {}",), vocabulary=("zero", "one", "two"))
DIM, TOKENS = 8, 4


def make_concepts(path: Path, *, limit: int = 12, part_rows_: int | None = 5) -> Artifact:
    """Make a concept store of digits by the real tasks, without a server."""
    store, source = ArtifactStore(path), Source(limit=limit)
    runtime = Runtime(store=path, part_rows=part_rows_, lanes=1, batch_size=4, progress=False)

    def make(making: Making, part_task: Any, *inputs: Any, **given: Any) -> Artifact:
        with driving(store, making, part_rows=runtime.part_rows) as draft:
            for part in draft.pending() if draft else ():
                part_task.fn(making.recipe, *inputs, part=part, runtime=runtime, **given)
            return seal(store, making.key, made={"source": source.model_dump(mode="json")})

    ledger = scan_source.fn(source, runtime=runtime)
    model = resolve(ModelSpec(family="toy", precision="fp32"), runtime)
    sets = template_sets(CONCEPTS, LABELS)
    dataset = make(Making(ledger.recipe, {}, ("ledger",)), keep_ledger, ledger=ledger)
    recipe = ImageRecipe(model=model, tokens=True)
    images = make(
        Making(recipe, {"content": ledger.content}, ledger.contents),
        encode_part,
        dataset,
        source=source,
    )
    prompts = {
        name: make(
            Making(PromptRecipe(model=model, prompts=said), {}, said.vocabulary), encode_prompts
        )
        for name, said in sets.items()
    }
    texts = make(
        Making(ConceptTextRecipe(model=model, prompts=sets), {}, tuple(sets)), encode_concept_texts
    )
    keys = {name: store.key_of(artifact) for name, artifact in prompts.items()}
    inputs = inputs_of(store.key_of(dataset), store.key_of(images), keys, store.key_of(texts))
    wanted = ConceptRecipe(concepts=CONCEPTS, labels=LABELS, metadata={"dataset": "digits"})
    rows = part_rows(ImageFeatures(store, images), tokens=True)
    concepts = make(Making(wanted, inputs, rows), store_concepts, dataset, images, prompts, texts)
    contents = ConceptStore(store, concepts).contents
    scores = Making(
        ScoreRecipe(token_rule="top", top_tokens=5), {"concepts": store.key_of(concepts)}, contents
    )
    make(scores, score_images, concepts)
    store.refs.set("digits/concepts", concepts.key)
    return concepts


@pytest.fixture(scope="session")
def concept_store(tmp_path_factory: pytest.TempPathFactory) -> ConceptStore:
    """Return a published concept store of 12 digits, for reading."""
    path = tmp_path_factory.mktemp("concepts") / "store"
    artifact = make_concepts(path)
    return ConceptStore(ArtifactStore(path), artifact)


@pytest.fixture
def bundle(concept_store: ConceptStore, tmp_path: Path) -> Path:
    """Return a bundle of it, which a test may change."""
    path = tmp_path / "bundle.h5"
    write_bundle(concept_store.store, concept_store.artifact, path)
    return path


def unit(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    rows = np.random.default_rng(seed).normal(size=shape)
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Return a file of one's own: 7 images in two batches, two templates."""
    path = tmp_path / "plain.h5"
    words = {"concept_texts": ["red", "blue"], "prompt_temp_for_concepts": ["a {} cell"]}
    with init_file(path, D=DIM, T_img=TOKENS, metadata=words, fingerprint="f" * 64) as file:
        append_batch(
            file,
            image_feats=unit(5, DIM),
            image_token_feats=unit(5, TOKENS, DIM),
            ids=range(5),
            split_names=["train"] * 3 + ["val"] * 2,
            labels=[4, 3, 2, 1, 0],
        )
        append_batch(
            file, image_feats=unit(2, DIM, seed=1), image_token_feats=unit(2, TOKENS, DIM, seed=1)
        )
        for number in (1, 2):
            write_template(
                file,
                template_id=f"concept_prompts_t{number:02}",
                texts=["a red cell", "a blue cell"],
                text_features=unit(2, DIM, seed=number),
                logits={"logit_scale": 20.0},
            )
    return path


@pytest.fixture
def contents_of() -> Callable[[Path], dict[str, Any]]:
    """Return a reader of everything in an HDF5 file, by h5py alone."""

    def read(path: Path, skip: Sequence[str] = ()) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with h5py.File(path, "r") as file:
            found |= {f"@{name}": value for name, value in file.attrs.items()}

            def visit(name: str, node: Any) -> None:
                found.update({f"{name}@{key}": value for key, value in node.attrs.items()})
                if isinstance(node, h5py.Dataset) and name not in skip:
                    found[name] = node[:].tolist()

            file.visititems(visit)
        return found

    return read
