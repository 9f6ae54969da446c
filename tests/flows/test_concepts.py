"""The BloodMNIST preset from end to end: its layout, its templates, a tiny ConceptCLIP."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from conf.concepts import Preset
from conf.errors import RecipeError
from conf.load import load_preset
from conf.runtime import Runtime
from flows.cli import main
from flows.concepts import concept_store
from flows.planning import Plan
from flows.run import Run
from storage.concepts import ConceptFile, ConceptScores, ConceptStore, validate_h5
from storage.concepts.file import Array
from tasks.compute.concepts import mean_of_best
from tasks.concepts.asking import (
    duplicates,
    explain,
    of_store,
    probe_of,
    search_image,
    search_text,
)
from tasks.concepts.heatmaps import concept_heatmap, overlay, picture_of
from tasks.concepts.scoring import local_vectors, token_projection
from tasks.models.identity import WeightsMissing
from tasks.models.load import resolve
from tasks.models.weights import SUGGESTED

Planned = Callable[..., tuple[Plan, Run]]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
COUNTS = {"train": 48, "val": 12, "test": 12}


def write_archive(path: Path) -> None:
    """Write cells in MedMNIST's layout: their colour tells their type."""
    drawn = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, count in COUNTS.items():
        labels = np.arange(count) % 4
        noise = drawn.integers(0, 60, (count, 224, 224, 3))
        colours = np.eye(4, 3)[labels][:, None, None, :] * 150
        arrays[f"{split}_images"] = (noise + colours).astype(np.uint8)
        arrays[f"{split}_labels"] = labels.astype(np.uint8)[:, None]
    arrays["test_images"][0] = arrays["train_images"][0]  # a leak that somebody should find
    np.savez_compressed(path, **arrays)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory, concept_clip: Path) -> Runtime:
    root = tmp_path_factory.mktemp("blood")
    shutil.copytree(concept_clip, root / "models" / "JerrryNie--ConceptCLIP")
    write_archive(root / "bloodmnist_224.npz")
    return Runtime(
        store=root / "store", models=root / "models", part_rows=20, lanes=1, progress=False
    )


def preset_in(runtime: Runtime, *changes: str) -> Preset:
    settings = load_preset(
        "bloodmnist",
        [
            f"source.root={runtime.store.parent}",
            f"model.revision={COMMIT}",
            "probe.folds=3",
            *changes,
        ],
    ).settings
    return Preset.model_validate(settings)


@pytest.fixture(scope="module")
def run(runtime: Runtime, prefect_harness: None) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATUREMILL_TRUST_REMOTE_CODE", f"JerrryNie/ConceptCLIP@{COMMIT}")
        return concept_store(preset_in(runtime), runtime)


@pytest.fixture(scope="module")
def store(run: Run) -> ConceptStore:
    made = {one.name: one.artifact for one in run.made}
    return ConceptStore(run.store, made["concepts"])


class TestTheStore:
    def test_it_has_what_the_seed_says(self, store: ConceptStore) -> None:
        with h5py.File(store.path) as file:
            assert file["image_features"].shape == (72, 16)
            assert file["image_token_features"].shape == (72, 16, 16)
            assert file["labels"][:5].tolist() == [0, 1, 2, 3, 0]
            assert json.loads(file.attrs["split_counts"]) == COUNTS
            assert len(json.loads(file.attrs["prompt_temp_for_concepts"])) == 9
            assert len(json.loads(file.attrs["prompt_temp_for_labels"])) == 3
            assert json.loads(file.attrs["concept_texts"])[0] == "Segmented nucleus"
            assert file.attrs["dataset"] == "BloodMNIST"
            assert file.attrs["concept_logit_bias"] == -9
            assert sorted(file["templates"]) == [
                *(f"concept_prompts_t{number:02}" for number in range(1, 10)),
                *(f"label_prompts_t{number:02}" for number in range(1, 4)),
            ]
            group = file["templates/concept_prompts_t01"]
            assert group["text_token_features"].shape == (24, 16, 16)
            assert group["texts"].asstr()[0] == "a cell photo with sign of Segmented nucleus"
        validate_h5(store.path, tokens=True, show=False)

    def test_a_second_run_finds_everything_made(
        self, run: Run, runtime: Runtime, as_planned: Planned
    ) -> None:
        _, again = as_planned("concepts", preset_in(runtime), runtime)
        assert {made.state for made in again.made} == {"Cached"}

    @pytest.mark.parametrize(
        ("change", "reasons"),
        [
            ("probe.folds=4", {"probe": ("folds: 4, was 3",)}),
            (
                "top_tokens=7",
                {"scores": ("top_tokens: 7, was 128",), "probe": ("scores is made anew",)},
            ),
        ],
    )
    def test_a_plan_tells_what_a_changed_field_makes(
        self,
        run: Run,
        runtime: Runtime,
        as_planned: Planned,
        tmp_path: Path,
        change: str,
        reasons: dict[str, tuple[str, ...]],
    ) -> None:
        shutil.copytree(run.store.path, tmp_path / "store")
        copy = runtime.model_copy(update={"store": tmp_path / "store"})
        foreseen, _ = as_planned("concepts", preset_in(runtime, change), copy)
        told = {one.name.partition("/")[2]: one.reasons for one in foreseen.artifacts}
        assert {name: why for name, why in told.items() if why} == reasons

    def test_a_tables_row_stands_for_every_image(self, run: Run) -> None:
        assert [table.title for table in run.tables] == ["Best concepts", "Labels from concepts"]


class TestScores:
    def test_the_contract_says_what_decides_them(self, run: Run, store: ConceptStore) -> None:
        scores = ConceptScores(run.store, of_store(run.store, store.artifact, "concept-scores"))
        contract = scores.contract
        assert contract["activation"] == "softmax"
        assert contract["logit_scale"] == pytest.approx(np.exp(4.57))
        assert (contract["token_rule"], contract["top_tokens"]) == ("top", 128)
        assert contract["concept_vector"] == "mean of the text tokens of the word"
        assert len(contract["templates"]["concept"]) == 9
        np.testing.assert_allclose(scores.read("label_scores").sum(axis=1), 1, atol=1e-5)

    def test_they_are_half_pooled_and_half_the_best_patches(
        self, run: Run, store: ConceptStore
    ) -> None:
        scores = ConceptScores(run.store, of_store(run.store, store.artifact, "concept-scores"))
        tokens = store.tokens([7])[0].astype(np.float32)
        names = local_vectors(store, "concept_prompts")
        units = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
        local = mean_of_best(np.exp(np.float32(3)) * units @ names.T, 128) - 9
        pooled = np.float32(np.exp(4.57)) * scores.read("concept_cosines", [store.contents[7]])[0]
        expected = (softmax(pooled) + softmax(local)) / 2
        found = scores.read("concept_scores", [store.contents[7]])[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert token_projection(store) is None


def softmax(logits: Array) -> Array:
    shares = np.exp(logits - logits.max())
    return np.asarray(shares / shares.sum())


class TestQuestions:
    def test_a_concept_finds_images_in_the_order_of_their_cosine(self, store: ConceptStore) -> None:
        hits = search_text(store, "Round nucleus", top=5)
        assert [hit.cosine for hit in hits] == sorted((hit.cosine for hit in hits), reverse=True)
        assert len({hit.row for hit in hits}) == 5

    def test_an_image_finds_its_like_and_not_itself(self, store: ConceptStore) -> None:
        hits = search_image(store, "train/00003", top=4)
        assert {hit.label for hit in hits} == {3}
        assert "train/00003" not in {hit.name for hit in hits}

    def test_an_unknown_text_or_image_is_refused(self, store: ConceptStore) -> None:
        with pytest.raises(RecipeError, match=r"'Rond nucleus'\. Did you mean 'Round nucleus'"):
            search_text(store, "Rond nucleus")
        with pytest.raises(RecipeError, match="no image 'train/99999'"):
            search_image(store, "train/99999")

    def test_the_same_image_in_two_splits_is_found(self, store: ConceptStore) -> None:
        first = duplicates(store, 0.999)[0]
        assert (first.names, first.exact) == (("train/00000", "test/00000"), True)
        assert not [pair for pair in duplicates(store, 0.999) if pair.splits[0] == pair.splits[1]]

    def test_a_heatmap_has_a_cell_a_patch_and_is_drawn_over_the_picture(
        self, store: ConceptStore, runtime: Runtime
    ) -> None:
        heatmap = concept_heatmap(store, "test/00003", "Segmented nucleus")
        assert heatmap.cosines.shape == (4, 4)
        assert np.abs(heatmap.cosines).max() <= 1
        drawn = overlay(heatmap, picture_of(store, "test/00003", runtime))
        assert drawn.size == (384, 384)
        with pytest.raises(RecipeError, match=r"no concept 'Segmented'\. Did you mean 'Segm"):
            concept_heatmap(store, "0", "Segmented")

    def test_what_is_published_names_no_place_of_this_machine_and_finds_moved_pictures(
        self, run: Run, store: ConceptStore, runtime: Runtime, tmp_path: Path
    ) -> None:
        manifest = (store.path.parent / "manifest.json").read_text()
        assert str(runtime.store.parent) not in manifest
        assert json.loads(manifest)["made"]["source"]["root"] == "."
        shutil.copy(runtime.store.parent / "bloodmnist_224.npz", tmp_path)
        moved = picture_of(store, "test/00003", runtime, tmp_path)
        assert moved.tobytes() == picture_of(store, "test/00003", runtime).tobytes()

    def test_the_command_draws_a_picture_for_each_concept(
        self, run: Run, store: ConceptStore, runtime: Runtime, tmp_path: Path
    ) -> None:
        words = ["--image", "test/00003", "--concept", "Round nucleus", "--concept", "platelet"]
        place = ["--store", str(runtime.store), "--out", str(tmp_path / "maps")]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FEATUREMILL_STORE", str(runtime.store))
            assert main(["concepts", "heatmap", store.artifact.key, *words, *place]) == 0
        assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == [
            "000063-platelet.png", "000063-round-nucleus.png",
        ]  # fmt: skip

    def test_the_command_explains_and_exports(
        self, run: Run, store: ConceptStore, runtime: Runtime, tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        place = ["--store", str(runtime.store)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FEATUREMILL_STORE", str(runtime.store))
            key = store.artifact.key
            assert main(["concepts", "explain", key, "--image", "val/00001", *place]) == 0
            told = capsys.readouterr().out
            assert told.startswith("val/00001: eosinophil (")
            assert "  for      +" in told
            assert "  against  -" in told
            bundle = str(tmp_path / "bundle.h5")
            assert main(["export", key, "--bundle", bundle, *place]) == 0
            assert main(["export", key, "--bundle", bundle, *place]) == 2
            assert "is there already" in capsys.readouterr().err
        assert len(ConceptFile(bundle)) == 72

    def test_the_probe_learns_and_says_why(self, run: Run, store: ConceptStore) -> None:
        scores, probe = probe_of(run.store, store.artifact)
        assert probe.rows == {"test": 12, "train": 48, "val": 12}
        assert min(probe.accuracy.values()) > 0.9 > 0.5 > probe.chance
        assert probe.class_names[:2] == ("basophil", "eosinophil")
        found = explain(store, scores, probe, "val/00001")
        assert (found.label, found.predicted) == (1, 1)
        assert found.speaks_for[0][1] >= found.speaks_for[-1][1] > 0 > found.speaks_against[0][1]


class TestRefusals:
    @pytest.mark.parametrize("name", ["siglip2_concepts", "datacomp_concepts"])
    def test_a_preset_whose_model_is_not_here_names_the_command_that_fetches_it(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        model = Preset.model_validate(load_preset(name).settings).model
        assert model.name in SUGGESTED
        with pytest.raises(WeightsMissing, match=f"`featuremill models fetch {model.name}`"):
            resolve(model, Runtime(models=tmp_path))

    def test_a_token_rule_without_tokens_is_refused(self, runtime: Runtime) -> None:
        with pytest.raises(RecipeError, match="scores patches, and tokens = false keeps none"):
            preset_in(runtime, "tokens=false")

    def test_a_template_without_a_place_and_an_empty_vocabulary_are_refused(
        self, runtime: Runtime
    ) -> None:
        with pytest.raises(RecipeError, match="has 0 places for a word"):
            preset_in(runtime, 'concepts.templates=["a cell"]')
        with pytest.raises(RecipeError, match=r"concepts\.vocabulary"):
            preset_in(runtime, "concepts.vocabulary=[]")

    def test_metadata_may_not_name_what_the_store_itself_writes(self, runtime: Runtime) -> None:
        with pytest.raises(RecipeError, match="the store itself writes logit_scale"):
            preset_in(runtime, 'metadata.logit_scale="1"')
