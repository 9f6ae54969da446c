import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conf.errors import RecipeError
from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.models import load as loading
from tasks.models.identity import LibraryDiffers, WeightsDiffer
from tasks.models.load import families, load_encoder, resolve

HEAVY = "torch torchvision timm open_clip transformers sentence_transformers sklearn h5py"
RESOLVES = f"""
import sys
from pathlib import Path
from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.models.identity import WeightsMissing
from tasks.models.load import enter_lane, load_encoder, resolve
from tasks.models.weights import list_models
runtime = Runtime(models=Path(sys.argv[1]))
for fields in (
    dict(family="pocket"),
    dict(family="toy"),
    dict(family="open_clip", name="ViT-B-32", weights="random:0"),
    dict(family="open_clip", name="local-dir:siglip", weights="random:0"),
):
    spec = resolve(ModelSpec(precision="fp32", **fields), runtime)
    assert spec.is_resolved
try:
    missing = dict(family="open_clip", name="ViT-B-32", weights="openai", precision="fp32")
    resolve(ModelSpec(**missing), runtime)
except WeightsMissing:
    pass
list_models(runtime.models)
toy = resolve(ModelSpec(family="toy", precision="fp32"), runtime)
enter_lane(load_encoder(toy, runtime).device)
for line in sys.argv[2:]:
    exec(line)
print(*sorted(set({HEAVY!r}.split()) & set(sys.modules)))
"""


def imported_by(script: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_resolving_and_listing_import_no_model_library_and_no_hdf5(models_root: Path) -> None:
    assert imported_by(RESOLVES, str(models_root)) == []


def test_the_proof_above_can_fail(models_root: Path) -> None:
    assert "torch" in imported_by(RESOLVES, str(models_root), "import torch")


def test_an_encoder_is_loaded_once_a_process(
    make_spec: Callable[..., ModelSpec], runtime: Runtime
) -> None:
    spec = resolve(make_spec("toy"), runtime)
    assert load_encoder(spec, runtime) is load_encoder(spec, runtime)


def test_batch_size_is_no_reason_to_load_again(
    make_spec: Callable[..., ModelSpec], runtime: Runtime
) -> None:
    spec = resolve(make_spec("toy"), runtime)
    other = Runtime(models=runtime.models, device="cpu", batch_size=3)
    assert load_encoder(spec, runtime) is load_encoder(spec, other)


def test_an_unresolved_spec_is_refused(
    make_spec: Callable[..., ModelSpec], runtime: Runtime
) -> None:
    with pytest.raises(RecipeError, match=r"toy default \(default\) .* `resolve` first"):
        load_encoder(make_spec("toy"), runtime)


def test_an_unknown_family_names_the_nearest(runtime: Runtime) -> None:
    spec = ModelSpec(family="pocked", precision="fp32")
    with pytest.raises(RecipeError, match=r"no model family 'pocked'\. Did you mean 'pocket'\?"):
        resolve(spec, runtime)


@pytest.mark.parametrize("family", ["load", "devices", "../pocket", "os.path", ""])
def test_what_is_no_adapter_is_no_family(runtime: Runtime, family: str) -> None:
    with pytest.raises(RecipeError, match="no model family"):
        resolve(ModelSpec(family=family, precision="fp32"), runtime)


def test_the_families_are_the_adapters() -> None:
    assert {"open_clip", "pocket", "toy"} <= set(families())
    assert not {"load", "devices", "identity", "weights", "protocols"} & set(families())


@pytest.mark.parametrize("name", ["toy", "pocket", "clip", "siglip"])
def test_resolving_twice_changes_nothing(
    make_spec: Callable[..., ModelSpec], runtime: Runtime, name: str
) -> None:
    once = resolve(make_spec(name), runtime)
    assert once.is_resolved
    assert resolve(once, runtime) == once


def test_other_pinned_weights_are_refused_with_both_checksums(
    make_spec: Callable[..., ModelSpec], runtime: Runtime
) -> None:
    actual = resolve(make_spec("pocket"), runtime).sha256
    with pytest.raises(WeightsDiffer, match=f"pins sha256 abc for pocket .* have {actual}"):
        resolve(make_spec("pocket", sha256="abc"), runtime)


def test_another_pinned_library_is_refused_with_both_versions(
    make_spec: Callable[..., ModelSpec], runtime: Runtime
) -> None:
    with pytest.raises(LibraryDiffers, match=r"pins 'open_clip_torch==1' .* 'open_clip_torch==3"):
        resolve(make_spec("clip", library="open_clip_torch==1"), runtime)


def test_checksums_are_asked_of_the_caller(
    make_spec: Callable[..., ModelSpec], runtime: Runtime
) -> None:
    asked = []

    def remembered(path: Path) -> str:
        asked.append(path.suffix)
        return "0" * 64

    resolve(make_spec("pocket"), runtime, remembered)
    assert asked == [".pth", ".safetensors", ".json"]


def test_what_the_caller_remembers_wrongly_is_found_when_loading(
    make_spec: Callable[..., ModelSpec], runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_LOADED", {})
    spec = resolve(make_spec("pocket"), runtime, lambda path: "0" * 64)
    with pytest.raises(WeightsDiffer):
        load_encoder(spec, runtime)
