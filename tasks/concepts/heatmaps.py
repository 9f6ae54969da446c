"""Where in an image a concept is: cosines of its patches over the picture. No model is needed."""

from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np
from PIL import Image

from conf.errors import RecipeError, did_you_mean
from conf.runtime import Runtime
from storage.concepts import ConceptFile, ConceptStore
from storage.concepts.file import Array
from storage.dataset import ContentReader, open_rows, read_ledger
from storage.dataset.places import located
from storage.readers.pixels import Undecodable, decode
from tasks.compute.concepts import patch_cosines
from tasks.concepts.scoring import local_vectors, require_token_space, token_projection

_COLOURS = np.array(
    [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float32
)
"""Five stops of the colour map inferno (Smith and van der Walt 2015)."""
_OPACITY = 0.55
_LEAST_SIDE_PX = 384
_MAX_MEGAPIXELS = 100.0


@dataclass(frozen=True, eq=False)
class Heatmap:
    """How well a concept fits each patch of an image."""

    name: str
    concept: str
    cosines: Array
    """(rows, columns) float32, from the top left."""
    grid: str
    """What the patches tile: "image", or the square in its "center"."""


def concept_heatmap(store: ConceptFile, image: str, concept: str) -> Heatmap:
    """Return the heatmap of a concept or label of the store in one of its images.

    Raises RecipeError for an image or a concept that is not there, and for a store whose patches
    cannot be compared with texts.
    """
    require_token_space(store)
    row = store.row_named(image)
    vector = _vector(store, concept)
    tokens = store.tokens([row])[0].astype(np.float32)
    cosines = patch_cosines(tokens, vector[None], token_projection(store))[:, 0]
    side = isqrt(len(cosines))
    if side * side != len(cosines):
        raise RecipeError(
            f"{store.name} has {len(cosines)} patches an image, which are no square grid: there is "
            "no telling where each lies."
        )
    grid = str(store.attributes.get("token_grid", "image"))
    return Heatmap(store.names[row], concept, cosines.reshape(side, side), grid)


def _vector(store: ConceptFile, concept: str) -> Array:
    known: list[str] = []
    for prefix in ("concept_prompts", "label_prompts"):
        if not store.template_names(prefix):
            continue
        names = next(iter(store.templates(prefix).values())).names
        if concept in names:
            vector: Array = local_vectors(store, prefix, names=[concept])[0]
            return vector
        known += names
    raise RecipeError(f"{store.name} has no concept {concept!r}. {did_you_mean(concept, known)}")


def overlay(heatmap: Heatmap, image: Image.Image) -> Image.Image:
    """Return `image` with the heatmap over it: dark where the concept fits least, yellow where
    best.

    Colours span the lowest to the highest cosine of this picture: they compare places, not
    pictures.
    """
    picture = _enlarged(image.convert("RGB"))
    box = _box(picture, heatmap.grid)
    size = (box[2] - box[0], box[3] - box[1])
    low, high = float(heatmap.cosines.min()), float(heatmap.cosines.max())
    scaled = (heatmap.cosines - low) / (high - low if high > low else 1)
    grid = Image.fromarray(np.asarray(scaled, np.float32))
    levels = np.clip(np.asarray(grid.resize(size, Image.Resampling.BICUBIC)), 0, 1)
    colours = Image.fromarray(_colours(levels))
    picture.paste(Image.blend(picture.crop(box), colours, _OPACITY), box)
    return picture


def _enlarged(image: Image.Image) -> Image.Image:
    factor = max(1.0, _LEAST_SIDE_PX / min(image.size))
    if factor == 1:
        return image.copy()
    width_px, height_px = (round(side * factor) for side in image.size)
    return image.resize((width_px, height_px), Image.Resampling.BICUBIC)


def _box(image: Image.Image, grid: str) -> tuple[int, int, int, int]:
    if grid == "image":
        return (0, 0, image.width, image.height)
    side_px = min(image.size)
    left_px, top_px = (image.width - side_px) // 2, (image.height - side_px) // 2
    return (left_px, top_px, left_px + side_px, top_px + side_px)


def _colours(levels: Array) -> Array:
    place = levels * (len(_COLOURS) - 1)
    low = np.minimum(place.astype(np.int64), len(_COLOURS) - 2)
    share = (place - low)[..., None]
    mixed = _COLOURS[low] * (1 - share) + _COLOURS[low + 1] * share
    return np.asarray(np.rint(mixed), np.uint8)


def picture_of(
    store: ConceptStore, image: str, runtime: Runtime, images_in: Path | None = None
) -> Image.Image:
    """Return the picture of a row, from the source that the store was made of.

    It is looked for below the roots of `runtime`, or in `images_in`: the source's own folder, table
    or archive. Raises SourceMissing, ContentGone or ContentChanged when it is not there any more,
    and RecipeError when nobody knows where it was.
    """
    manifest = store.store.manifest(store.artifact.key)
    told = manifest.made.get("source")
    if told is None:
        raise RecipeError(
            f"{store.name} does not say where its pictures are. Name the file with --picture."
        )
    source = located(told, runtime, images_in)
    ledger = read_ledger(store.store.folder(manifest.inputs["dataset"]))
    rows = open_rows(source, runtime.roots)
    data = ContentReader(rows, ledger).read(store.contents[store.row_named(image)])
    return decode(data, max_megapixels=source.max_megapixels, formats=rows.formats)


def picture_from(path: Path) -> Image.Image:
    """Return the picture in a file, upright; raises RecipeError where there is none."""
    try:
        return decode(path.expanduser().read_bytes(), max_megapixels=_MAX_MEGAPIXELS)
    except (OSError, Undecodable) as problem:
        raise RecipeError(f"{path} cannot be read as a picture: {problem}.") from None


def save_png(image: Image.Image, path: Path) -> None:
    """Write `image` to `path`; raises RecipeError when that cannot be."""
    try:
        image.save(path, format="PNG")
    except OSError as problem:
        raise RecipeError(f"{path} cannot be written: {problem.strerror or problem}.") from None
