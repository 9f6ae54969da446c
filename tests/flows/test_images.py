"""Flow `images`: what is made, what is reused, what is repeated."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks.images
from conf.dataset import parse_source
from conf.errors import RecipeError, Stopped
from conf.images import Preset
from conf.models import ModelSpec
from conf.runtime import Runtime
from flows.images import image_features
from flows.parts import PartsFailed
from flows.run import Run
from storage.open import open_artifact
from storage.store import ArtifactStore
from tasks.compute.norms import FeaturesUnusable
from tasks.dataset import open_contents
from tasks.models.protocols import EncodedImages, Float32
from tasks.models.toy import ToyEncoder
from tasks.stopping import stop_requested

pytestmark = pytest.mark.usefixtures("prefect_harness")


class Recorder(ToyEncoder):
    """The toy encoder, telling how many images each call had and failing where it is told to."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        super().__init__()
        self.batch_sizes: list[int] = []
        self.fails_at = fails_at

    def encode_images(self, pixels: Float32, *, tokens: bool = False) -> EncodedImages:
        """Encode, unless this is the call that fails."""
        self.batch_sizes.append(len(pixels))
        if len(self.batch_sizes) == self.fails_at:
            raise ConnectionError("the accelerator did not answer")
        return super().encode_images(pixels, tokens=tokens)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Return the encoder that all parts of this test are made by."""
    recorder = Recorder()
    monkeypatch.setattr(tasks.images, "load_encoder", lambda model, runtime: recorder)
    monkeypatch.setattr(tasks.images, "check_same_feature", lambda *given: None)
    return recorder


def preset(folder: Path, model: ModelSpec, **options: object) -> Preset:
    """Return the settings of a run over `folder`."""
    source = parse_source({"source": "folder", "root": str(folder), **options})
    return Preset(source=source, model=model)


def features_of(run: Run) -> np.ndarray:
    """Return the pooled features that a run made, in the order of its own ledger."""
    ledger, reader = (open_artifact(made.artifact, run.store) for made in run.made)
    return np.asarray(reader.pooled(ledger.contents))


def test_a_second_run_says_cached_throughout_and_encodes_nothing(
    add_photos: Callable[..., Path], runtime: Runtime, toy: ModelSpec, recorder: Recorder
) -> None:
    settings = preset(add_photos(5), toy)
    first = image_features(settings, runtime)
    assert [made.state for made in first.made] == ["Completed", "Completed"]
    encoded = len(recorder.batch_sizes)
    second = image_features(settings, runtime)
    assert [made.state for made in second.made] == ["Cached", "Cached"]
    assert len(recorder.batch_sizes) == encoded
    np.testing.assert_array_equal(features_of(first), features_of(second))


def test_other_batches_parts_labels_splits_and_names_encode_nothing_again(
    add_photos: Callable[..., Path], runtime: Runtime, toy: ModelSpec, recorder: Recorder
) -> None:
    folder = add_photos(5)
    first = image_features(preset(folder, toy), runtime)
    encoded = len(recorder.batch_sizes)
    (folder / "train").mkdir()
    for number, path in enumerate(sorted(folder.glob("*.png"))):
        path.rename(folder / "train" / f"{9 - number}.png")
    faster = runtime.model_copy(update={"batch_size": 3, "part_rows": 4, "lanes": 2})
    second = image_features(preset(folder, toy, label_from="folder"), faster)
    assert len(recorder.batch_sizes) == encoded
    assert [made.state for made in second.made] == ["Completed", "Cached"]
    assert first.made[1].artifact == second.made[1].artifact
    np.testing.assert_array_equal(features_of(first), features_of(second)[::-1])


def test_added_photos_are_all_that_is_encoded(
    add_photos: Callable[..., Path], runtime: Runtime, toy: ModelSpec, recorder: Recorder
) -> None:
    image_features(preset(add_photos(6), toy), runtime)
    recorder.batch_sizes.clear()
    run = image_features(preset(add_photos(3, first=6), toy), runtime)
    assert run.made[1].rows_made == 3
    assert recorder.batch_sizes == [2, 1, 1, 1]  # the last two: first and last part checked


def test_a_transient_error_in_the_third_batch_repeats_only_that_part(
    add_photos: Callable[..., Path], runtime: Runtime, toy: ModelSpec, recorder: Recorder
) -> None:
    recorder.fails_at = 3
    disturbed = image_features(preset(add_photos(7), toy), runtime)
    assert recorder.batch_sizes[:5] == [2, 2, 2, 2, 1]  # the third call was made twice
    features = features_of(disturbed)
    expected = ToyEncoder()
    contents = open_contents(disturbed.made[0].artifact, preset(add_photos(7), toy).source, runtime)
    alone = [
        expected.encode_images(expected.preprocess(contents.image(content))[None]).pooled[0]
        for content in contents.ledger.contents
    ]
    np.testing.assert_array_equal(features, np.asarray(alone, np.float16))


def test_an_error_that_will_not_pass_is_not_retried_and_keeps_what_was_sealed(
    add_photos: Callable[..., Path], runtime: Runtime, toy: ModelSpec, recorder: Recorder
) -> None:
    settings = preset(add_photos(7), toy)
    recorder.fails_at = 3

    def refuse(pixels: Float32, *, tokens: bool = False) -> EncodedImages:
        recorder.batch_sizes.append(len(pixels))
        if len(recorder.batch_sizes) >= 3:
            raise RecipeError("precision = 'fp16' was asked of a device that has none.")
        return ToyEncoder.encode_images(recorder, pixels, tokens=tokens)

    recorder.encode_images = refuse  # type: ignore[method-assign]
    with pytest.raises(RecipeError, match="fp16") as caught:
        image_features(settings, runtime)
    assert len(recorder.batch_sizes) <= 4  # the third, and at most one part that was handed out
    assert "2 of 4 parts of features are sealed" in caught.value.__notes__[0]


def test_a_photo_that_changes_after_the_scan_fails_its_part_and_no_other(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = add_photos(6)
    settings = preset(folder, toy)
    encode = Run.make

    def change_then_make(run: Run, name: str, *given: object, **more: object) -> object:
        if name == "features":
            (folder / "003.png").write_bytes((folder / "004.png").read_bytes())
        return encode(run, name, *given, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Run, "make", change_then_make)
        with pytest.raises(PartsFailed, match=r"003\.png.*Run again.*2 of 3 parts of features"):
            image_features(settings, runtime)
    again = image_features(settings, runtime)
    assert again.made[1].artifact.rows == 5  # 003 is 004 now: two rows, one content
    assert again.made[1].rows_made == 1  # 002: it shared the part of 003; the others are taken over


def test_another_precision_makes_the_images_anew(
    add_photos: Callable[..., Path], runtime: Runtime, recorder: Recorder
) -> None:
    folder = add_photos(2)
    models = [ModelSpec(family="pocket", precision=one) for one in ("fp32", "bf16")]
    made = [image_features(preset(folder, model), runtime).made[1] for model in models]
    assert made[0].artifact.key != made[1].artifact.key
    assert [one.rows_made for one in made] == [2, 2]


def test_a_deployment_may_give_every_setting_as_plain_json(
    add_photos: Callable[..., Path], runtime: Runtime, recorder: Recorder
) -> None:
    parameters: dict[str, Any] = {
        "preset": {
            "source": {"source": "folder", "root": str(add_photos(2))},
            "model": {"family": "toy", "precision": "fp32"},
        },
        "runtime": {"store": str(runtime.store), "roots": [], "progress": False},
    }
    run = image_features(**parameters)
    assert run.made[1].artifact.rows == 2


def test_rows_that_were_refused_are_refused_again_by_the_next_run(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = preset(add_photos(4), toy)

    class Unsteady(ToyEncoder):
        def encode_images(self, pixels: Float32, *, tokens: bool = False) -> EncodedImages:
            encoded = super().encode_images(pixels, tokens=tokens)
            return encoded if len(pixels) > 1 else EncodedImages(-encoded.pooled)

    monkeypatch.setattr(tasks.images, "load_encoder", lambda model, runtime: Unsteady())
    for _ in range(2):
        with pytest.raises(FeaturesUnusable, match=r"cosine -1\.00000"):
            image_features(settings, runtime)
    monkeypatch.setattr(tasks.images, "load_encoder", lambda model, runtime: ToyEncoder())
    assert image_features(settings, runtime).made[1].rows_made == 0


def test_a_refused_recipe_leaves_no_draft_behind(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(model: ModelSpec, runtime: Runtime) -> ToyEncoder:
        raise RecipeError("this model has no tokens")

    monkeypatch.setattr(tasks.images, "load_encoder", refuse)
    with pytest.raises(RecipeError) as caught:
        image_features(preset(add_photos(3), toy), runtime)
    assert not hasattr(caught.value, "__notes__")
    assert ArtifactStore(runtime.store).drafts() == []


def test_a_stop_after_the_last_part_publishes_what_is_whole(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = preset(add_photos(2), toy)

    class Stopping(ToyEncoder):
        def encode_images(self, pixels: Float32, *, tokens: bool = False) -> EncodedImages:
            stop_requested.set()
            return super().encode_images(pixels, tokens=tokens)

    monkeypatch.setattr(tasks.images, "load_encoder", lambda model, runtime: Stopping())
    try:
        assert image_features(settings, runtime).made[1].state == "Completed"
    finally:
        stop_requested.clear()


def test_a_stop_before_the_last_part_keeps_the_others(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = preset(add_photos(6), toy)

    class Stopping(ToyEncoder):
        def encode_images(self, pixels: Float32, *, tokens: bool = False) -> EncodedImages:
            stop_requested.set()
            return super().encode_images(pixels, tokens=tokens)

    with monkeypatch.context() as patch:
        patch.setattr(tasks.images, "load_encoder", lambda model, runtime: Stopping())
        try:
            with pytest.raises(Stopped, match=r"1 of 3 parts of features are sealed"):
                image_features(settings, runtime)
        finally:
            stop_requested.clear()
    assert image_features(settings, runtime).made[1].rows_made == 4
