"""What every adapter promises, asked of every adapter."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from conf.errors import RecipeError
from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.models import load as loading
from tasks.models.load import enter_lane, load_encoder, resolve
from tasks.models.protocols import Float32, ImageTextEncoder

TEXTS = ["a photo of a cat", "red square", "", "dog " * 400, "naïve café, 漢字"]


def photos(count: int = 6) -> list[Image.Image]:
    drawn = np.random.default_rng(7)
    shapes = [(40, 60), (64, 64), (97, 31), (300, 200)]
    return [
        Image.fromarray(drawn.integers(0, 256, (*shapes[row % 4], 3), np.uint8))
        for row in range(count)
    ]


def pixels_of(encoder: ImageTextEncoder, count: int = 6) -> Float32:
    return np.stack([encoder.preprocess(photo) for photo in photos(count)])


WITH_TEXTS = ["toy", "pocket", "clip", "siglip"]


@pytest.fixture(scope="module", params=[*WITH_TEXTS, "dino"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str, encoder: Callable[..., ImageTextEncoder]) -> ImageTextEncoder:
    return encoder(name)


@pytest.fixture(scope="module", params=WITH_TEXTS)
def reader(
    request: pytest.FixtureRequest, encoder: Callable[..., ImageTextEncoder]
) -> ImageTextEncoder:
    """A model that has a tower for texts, too."""
    return encoder(str(request.param))


class TestEveryEncoder:
    def test_image_features_are_float32_of_unit_norm(self, model: ImageTextEncoder) -> None:
        pooled = model.encode_images(pixels_of(model)).pooled
        assert pooled.shape == (6, model.dim)
        assert pooled.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(pooled, axis=1), 1, atol=1e-6)

    def test_images_do_not_depend_on_the_batch_size(self, model: ImageTextEncoder) -> None:
        pixels = pixels_of(model)
        alone = np.concatenate([model.encode_images(row[None]).pooled for row in pixels])
        np.testing.assert_allclose(model.encode_images(pixels).pooled, alone, atol=5e-6)

    def test_tokens_are_given_as_declared_or_refused(self, model: ImageTextEncoder) -> None:
        pixels = pixels_of(model, 3)
        if not model.token_count:
            with pytest.raises(RecipeError, match=r"Patch tokens were asked of .* Leave them out"):
                model.encode_images(pixels, tokens=True)
            return
        both = model.encode_images(pixels, tokens=True)
        assert both.tokens is not None
        assert both.tokens.shape == (3, model.token_count, model.token_dim)
        assert both.tokens.dtype == np.float32
        np.testing.assert_allclose(both.pooled, model.encode_images(pixels).pooled, atol=2e-6)

    def test_tokens_are_not_given_unasked(self, model: ImageTextEncoder) -> None:
        assert model.encode_images(pixels_of(model, 1)).tokens is None

    def test_two_threads_give_what_one_gives(self, model: ImageTextEncoder) -> None:
        pixels = pixels_of(model)
        serial = model.encode_images(pixels).pooled
        with ThreadPoolExecutor(2, initializer=lambda: enter_lane(model.device)) as lanes:
            given = list(lanes.map(lambda _: model.encode_images(pixels).pooled, range(6)))
        for pooled in given:
            np.testing.assert_allclose(pooled, serial, atol=5e-6)

    def test_preprocessing_in_two_threads_gives_what_one_gives(
        self, model: ImageTextEncoder
    ) -> None:
        with ThreadPoolExecutor(2) as lanes:
            given = list(lanes.map(model.preprocess, photos()))
        np.testing.assert_array_equal(np.stack(given), pixels_of(model))

    @pytest.mark.parametrize("size_px", [(1, 1), (1, 10_000), (10_000, 1), (3, 2), (257, 255)])
    def test_an_image_of_any_shape_is_taken(
        self, model: ImageTextEncoder, size_px: tuple[int, int]
    ) -> None:
        pixels = model.preprocess(Image.new("RGB", size_px, (200, 30, 60)))
        assert pixels.dtype == np.float32
        assert pixels.shape == model.preprocess(photos(1)[0]).shape
        assert np.isfinite(model.encode_images(pixels[None]).pooled).all()

    def test_what_was_given_is_left_as_it_was(self, model: ImageTextEncoder) -> None:
        pixels = pixels_of(model, 2)
        before = pixels.copy()
        model.encode_images(pixels)
        np.testing.assert_array_equal(pixels, before)

    def test_another_load_gives_the_same_bytes(
        self,
        name: str,
        model: ImageTextEncoder,
        make_spec: Callable[..., ModelSpec],
        runtime: Runtime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(loading, "_LOADED", {})
        again = load_encoder(resolve(make_spec(name), runtime), runtime)
        assert again is not model
        assert again.fingerprint == model.fingerprint
        pixels = pixels_of(model, 2)
        first, second = (one.encode_images(pixels).pooled for one in (model, again))
        np.testing.assert_array_equal(first, second)


class TestEveryTowerOfTexts:
    def test_text_features_are_float32_of_unit_norm_in_the_same_space(
        self, reader: ImageTextEncoder
    ) -> None:
        features = reader.encode_texts(TEXTS)
        assert features.shape == (len(TEXTS), reader.dim)
        assert features.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)

    def test_no_texts_give_no_rows(self, reader: ImageTextEncoder) -> None:
        assert reader.encode_texts([]).shape == (0, reader.dim)

    def test_texts_do_not_depend_on_their_neighbours(self, reader: ImageTextEncoder) -> None:
        alone = np.concatenate([reader.encode_texts([text]) for text in TEXTS])
        np.testing.assert_allclose(reader.encode_texts(TEXTS), alone, atol=2e-6)

    def test_scale_bias_and_activation_belong_together(self, reader: ImageTextEncoder) -> None:
        assert reader.logit_scale > 0
        assert (reader.activation == "sigmoid") == (reader.logit_bias is not None)
