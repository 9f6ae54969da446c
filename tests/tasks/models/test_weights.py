import json
import shutil
from pathlib import Path

import pytest

from conf.errors import RecipeError
from conf.models import ModelSpec
from tasks.models.open_clip_files import find_files
from tasks.models.weights import (
    CONCEPT_CLIP,
    SUGGESTED,
    FetchFailed,
    ModelRow,
    fetch,
    list_models,
    parse_name,
)

TAG = "ViT-B-32/laion2b_s34b_b79k"
FILES = ["README.md", "open_clip_config.json", "tokenizer.json", "open_clip_pytorch_model.bin"]


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what the user may have downloaded."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-home"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))


class Hub:
    """A hub of one repository; remembers what was asked of it."""

    def __init__(self, files: list[str]) -> None:
        self.files = files
        self.asked: list[tuple[str, str | None]] = []

    def listing(self, repo: str, revision: str | None) -> tuple[str, list[str]]:
        self.asked.append((repo, revision))
        return "c0ffee", self.files

    def download(self, repo: str, commit: str, folder: Path, files: list[str]) -> None:
        for file in files:
            (folder / file).write_text("{}")


def fetched(hub: Hub, name: str, root: Path, revision: str | None = None) -> ModelRow:
    return fetch(name, root, revision=revision, listing=hub.listing, download=hub.download)


def test_the_pocket_encoder_is_always_listed_as_present(tmp_path: Path) -> None:
    row = list_models(tmp_path / "nothing")[0]
    assert (row.name, row.present, row.remedy) == ("pocket", True, "")
    assert (row.size_bytes or 0) > 100_000_000


def test_suggested_models_are_listed_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    rows = {row.name: row for row in list_models(tmp_path)}
    for name in SUGGESTED:
        assert not rows[name].present
        assert rows[name].remedy == f"featuremill models fetch {name}"


def test_a_fetched_model_is_found_and_listed_as_present(tmp_path: Path) -> None:
    hub = Hub([*FILES, "open_clip_model.safetensors"])
    row = fetched(hub, TAG, tmp_path)
    assert hub.asked == [("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", None)]
    assert (row.present, row.revision) == (True, "c0ffee")
    assert row in list_models(tmp_path)
    architecture, tag = parse_name(TAG)
    spec = ModelSpec(family="open_clip", name=architecture, weights=tag, precision="fp32")
    assert find_files(spec, tmp_path).weights == row.path


def test_safetensors_are_taken_instead_of_a_pickle(tmp_path: Path) -> None:
    row = fetched(Hub([*FILES, "open_clip_model.safetensors"]), TAG, tmp_path)
    assert row.path is not None
    names = {path.name for path in row.path.parent.iterdir()}
    assert "open_clip_model.safetensors" in names
    assert not names & {"open_clip_pytorch_model.bin", "README.md"}


def test_a_hub_repository_is_fetched_at_the_revision_asked_for(tmp_path: Path) -> None:
    hub = Hub(FILES)
    row = fetched(hub, "hf-hub:org/model", tmp_path, revision="v1")
    assert hub.asked == [("org/model", "v1")]
    assert row.path is not None
    origin = json.loads((row.path.parent / "featuremill-origin.json").read_text())
    assert (origin["revision"], origin["name"]) == ("c0ffee", "hf-hub:org/model")


def test_a_repository_without_weights_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"org/model has no weights .* it has README\.md"):
        fetched(Hub(["README.md"]), "hf-hub:org/model", tmp_path)


def test_weights_that_are_in_no_repository_say_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.models.weights.tag_source", lambda *_: {"url": "https://x/y.pt"})
    with pytest.raises(RecipeError, match=r"Download https://x/y\.pt yourself"):
        fetched(Hub(FILES), "RN50/openai", tmp_path)


def test_being_offline_is_said_and_may_be_retried(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match=r"could not be fetched .* HF_HUB_OFFLINE") as caught:
        fetch("hf-hub:org/model", tmp_path)
    assert caught.value.transient


@pytest.mark.parametrize("name", ["ViT-B-32", "hf-hub:org", "hf-hub:a/b/c", ""])
def test_a_name_that_names_no_model_shows_two_that_do(name: str) -> None:
    with pytest.raises(RecipeError, match=f"can be fetched. Say ARCHITECTURE/TAG, such as {TAG}"):
        parse_name(name)


def test_a_directory_that_is_no_model_is_listed_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    row = next(row for row in list_models(tmp_path) if row.name == "local-dir:empty")
    assert not row.present
    assert "no architecture 'default'" in row.remedy


def test_conceptclip_is_listed_as_its_own_family_missing_and_fetched(
    tmp_path: Path, concept_clip: Path
) -> None:
    (row,) = (row for row in list_models(tmp_path) if row.name == CONCEPT_CLIP)
    assert (row.family, row.present) == ("concept_clip", False)
    assert row.remedy == f"featuremill models fetch {CONCEPT_CLIP} --revision COMMIT"
    folder = tmp_path / "JerrryNie--ConceptCLIP"
    shutil.copytree(concept_clip, folder)
    origin = {"name": CONCEPT_CLIP, "revision": "c0ffee", "weights": "model.safetensors"}
    (folder / "featuremill-origin.json").write_text(json.dumps(origin))
    (row,) = (row for row in list_models(tmp_path) if row.name == CONCEPT_CLIP)
    assert (row.family, row.present, row.revision) == ("concept_clip", True, "c0ffee")
    (folder / "model.safetensors").unlink()
    (row,) = (row for row in list_models(tmp_path) if row.path == folder)
    assert not row.present
    assert "--revision COMMIT" in row.remedy
