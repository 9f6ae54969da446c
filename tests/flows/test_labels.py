"""Flows `labels` and `prompts`: what a changed word costs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conf.dataset import parse_source
from conf.labels import Preset
from conf.models import ModelSpec
from conf.prompts import Preset as PromptsPreset
from conf.prompts import PromptSet
from conf.runtime import Runtime
from flows.labels import label_photos
from flows.prompts import prompt_features
from storage.open import open_artifact

pytestmark = pytest.mark.usefixtures("prefect_harness")

WORDS = PromptSet(templates=("a photo of {}", "a {} scene"), vocabulary=("cat", "dog", "sea"))


def preset(folder: Path, model: ModelSpec, prompts: PromptSet = WORDS) -> Preset:
    """Return the settings of a run over `folder`."""
    source = parse_source({"source": "folder", "root": str(folder)})
    return Preset(source=source, model=model, prompts=prompts, top=2)


def test_a_changed_word_costs_prompts_and_labels_but_no_encoding(
    add_photos: Callable[..., Path], runtime: Runtime, toy: ModelSpec
) -> None:
    folder = add_photos(3)
    label_photos(preset(folder, toy), runtime)
    other = PromptSet(templates=WORDS.templates, vocabulary=("cat", "dog", "lake"))
    states = {
        made.name: made.state for made in label_photos(preset(folder, toy, other), runtime).made
    }
    assert states == {
        "dataset": "Cached",
        "prompts": "Completed",
        "features": "Cached",
        "labels": "Completed",
    }


def test_labels_are_ordered_and_agree_with_the_features_they_were_made_of(
    add_photos: Callable[..., Path], runtime: Runtime, toy: ModelSpec
) -> None:
    run = label_photos(preset(add_photos(3), toy), runtime)
    made = {made.name: open_artifact(made.artifact, run.store) for made in run.made}
    labels, prompts = made["labels"], made["prompts"]
    assert labels["rank"].tolist() == [1, 2] * 3
    for content, rows in labels.groupby("content_sha256"):
        image = made["features"].pooled([content])[0].astype(np.float32)
        cosines = prompts.text_features @ (image / np.linalg.norm(image))
        best = np.argsort(-cosines)[:2]
        assert rows["label"].tolist() == [prompts.vocabulary[word] for word in best]
        np.testing.assert_allclose(rows["cosine"], cosines[best], rtol=1e-5, atol=1e-6)
        shares = np.exp(10 * cosines) / np.exp(10 * cosines).sum()
        np.testing.assert_allclose(rows["confidence"], shares[best], rtol=1e-4)


def test_a_photo_that_cannot_be_read_is_shown_with_its_reason(
    add_photos: Callable[..., Path], runtime: Runtime, toy: ModelSpec
) -> None:
    folder = add_photos(1)
    (folder / "broken.jpg").write_bytes(b"")
    run = label_photos(preset(folder, toy), runtime)
    shown = {row[0]: row[1] for row in run.tables[0].rows}
    assert shown["broken.jpg"].startswith("empty")
    assert run.made[0].note == "1 ok, 1 empty"


def test_one_changed_template_leaves_the_other_prompt_sets_alone(
    runtime: Runtime, toy: ModelSpec
) -> None:
    sets = {"t01": WORDS, "t02": PromptSet(templates=("{} cell",), vocabulary=("red", "white"))}
    prompt_features(PromptsPreset(model=toy, prompts=sets), runtime)
    sets["t02"] = PromptSet(templates=("a {} cell",), vocabulary=("red", "white"))
    run = prompt_features(PromptsPreset(model=toy, prompts=sets), runtime)
    assert [(made.name, made.state) for made in run.made] == [
        ("t01", "Cached"),
        ("t02", "Completed"),
    ]


@pytest.mark.parametrize("broken", [(), ("broken.jpg",)])
def test_a_folder_without_a_readable_image_has_no_labels_and_no_error(
    tmp_path: Path, runtime: Runtime, toy: ModelSpec, broken: tuple[str, ...]
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in broken:
        (folder / name).write_bytes(b"\xff\xd8 no more")
    for state in ("Completed", "Cached"):
        run = label_photos(preset(folder, toy), runtime)
        assert [made.state for made in run.made] == [state] * 4 or state == "Completed"
        assert [row[0] for row in run.tables[0].rows] == [*broken]
    assert run.made[-1].artifact.rows == 0
