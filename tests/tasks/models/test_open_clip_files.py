import json
from pathlib import Path
from typing import Any

import pytest

from conf.errors import RecipeError
from conf.models import ModelSpec
from tasks.models.identity import WeightsMissing
from tasks.models.open_clip_files import find_files, home, pretrained_tags

HUB = "hf-hub:org/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def spec_of(name: str, weights: str = "default", **fields: Any) -> ModelSpec:
    return ModelSpec(family="open_clip", name=name, weights=weights, precision="fp32", **fields)


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, standing in for the user's."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-home"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    return tmp_path / "hub-home" / "hub"


def snapshot(hub: Path, repo: str, *names: str) -> Path:
    base = hub / f"models--{repo.replace('/', '--')}"
    put(base / "refs")
    (base / "refs" / "main").write_text(COMMIT)
    return put(base / "snapshots" / COMMIT, *names)


def test_the_tags_read_from_the_source_are_those_of_the_library() -> None:
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained

    read = pretrained_tags()
    assert [(name, tag) for name in read for tag in read[name]] == list_pretrained()
    for name, tag in list_pretrained():
        said = get_pretrained_cfg(name, tag)
        for field in ("url", "hf_hub"):
            assert (read[name][tag].get(field) or "") == said[field]


def test_missing_weights_say_the_model_the_places_and_the_command(
    tmp_path: Path, hub: Path
) -> None:
    with pytest.raises(WeightsMissing) as caught:
        find_files(spec_of("ViT-B-32", "laion2b_s34b_b79k"), tmp_path)
    text = str(caught.value)
    assert text.startswith("The weights of open_clip ViT-B-32 (laion2b_s34b_b79k) are missing.")
    assert str(tmp_path / "ViT-B-32--laion2b_s34b_b79k") in text
    assert str(hub) in text
    assert text.endswith("`featuremill models fetch ViT-B-32/laion2b_s34b_b79k`.")


def test_an_unknown_tag_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"Did you mean 'laion2b_s34b_b79k'\?"):
        find_files(spec_of("ViT-B-32", "laion2b_s34b_b79"), tmp_path)


def test_an_unknown_architecture_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no architecture 'ViT-B-33'\. Did you mean 'ViT-B-32'"):
        find_files(spec_of("ViT-B-33", "random:0"), tmp_path)


def test_an_architecture_without_weights_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError,
        match=r"no weights 'default' for ViT-B-32\. Known are: commonpool_m_.* and [0-9]+ more",
    ):
        find_files(spec_of("ViT-B-32"), tmp_path)


def test_a_tag_is_found_under_the_models_root_before_the_hubs_cache(
    tmp_path: Path, hub: Path
) -> None:
    cached = snapshot(hub, "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_model.safetensors")
    spec = spec_of("ViT-B-32", "laion2b-s34b-b79k")
    assert find_files(spec, tmp_path).weights == cached / "open_clip_model.safetensors"
    own = put(home(spec.name, spec.weights, tmp_path), "open_clip_pytorch_model.bin")
    assert find_files(spec, tmp_path).weights == own / "open_clip_pytorch_model.bin"


def test_safetensors_come_before_pickles(tmp_path: Path) -> None:
    folder = put(tmp_path / "mine", "open_clip_config.json", "a.pt", "z.safetensors")
    assert find_files(spec_of("local-dir:mine"), tmp_path).weights == folder / "z.safetensors"


def test_a_directory_without_a_configuration_takes_the_named_architecture(tmp_path: Path) -> None:
    folder = put(tmp_path / "mine", "model.safetensors")
    found = find_files(spec_of("ViT-B-32", "local-dir:mine"), tmp_path)
    assert (found.weights, found.folder) == (folder / "model.safetensors", None)


@pytest.mark.parametrize("name", ["../other", "/etc", "a/../../b", ""])
def test_a_directory_outside_the_models_root_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="does not name a directory under the models root"):
        find_files(spec_of("ViT-B-32", f"local-dir:{name}"), tmp_path)


def test_an_empty_directory_says_what_to_copy_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"Copy open_clip_config\.json and open_clip_model\."):
        find_files(spec_of("local-dir:mine"), tmp_path)


class TestHubNames:
    FILES = ("open_clip_config.json", "open_clip_model.safetensors")

    def test_they_are_found_in_the_hubs_cache_with_their_commit(
        self, tmp_path: Path, hub: Path
    ) -> None:
        folder = snapshot(hub, "org/model", *self.FILES)
        found = find_files(spec_of(HUB), tmp_path)
        assert (found.folder, found.revision) == (folder, COMMIT)

    def test_they_are_found_by_a_pinned_commit(self, tmp_path: Path, hub: Path) -> None:
        snapshot(hub, "org/model", *self.FILES)
        assert find_files(spec_of(HUB, revision=COMMIT), tmp_path).revision == COMMIT

    def test_another_pinned_commit_is_missing_and_the_command_names_it(
        self, tmp_path: Path, hub: Path
    ) -> None:
        snapshot(hub, "org/model", *self.FILES)
        folder = put(home(HUB, "default", tmp_path), *self.FILES)
        (folder / "featuremill-origin.json").write_text(json.dumps({"revision": COMMIT}))
        with pytest.raises(WeightsMissing, match=f"fetch {HUB} --revision feed"):
            find_files(spec_of(HUB, revision="feed"), tmp_path)

    def test_they_are_missing_where_nothing_was_fetched(self, tmp_path: Path, hub: Path) -> None:
        with pytest.raises(WeightsMissing, match=f"open_clip {HUB} .* fetch {HUB}`"):
            find_files(spec_of(HUB), tmp_path)
