"""Filling a concept store of one's own with what a model says of images and prompts.

The model is handed in: anything that is an Encoder (storage/encoders.py), such as what
`tasks.models.load` gives.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import h5py
import numpy as np
from pydantic import ValidationError

from conf.concepts import CONCEPTS
from conf.errors import RecipeError
from conf.prompts import PromptSet
from storage.concepts.file import (
    DEFAULT_SPLIT,
    LABELS,
    NO_LABEL,
    POOLED,
    TOKENS,
    Array,
    PathOrFile,
    changing,
)
from storage.concepts.templates import names_of, write_template
from storage.concepts.whole import refuse_torn
from storage.concepts.writing import append_batch, check_model
from storage.encoders import Encoder, logits_of, text_tokens, token_space

if TYPE_CHECKING:
    from PIL import Image

BATCH_SIZE = 64
_ORDER = ("train", "val", "test")


class Images(Protocol):
    """Images of a split: PIL images, or (image, label) pairs, as torchvision and MedMNIST give."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """Return one of them."""
        ...


class _Batch(NamedTuple):
    images: "list[Image.Image]"
    labels: list[int]


def fill_templates(
    templates: Sequence[str], vocabulary: Sequence[str], prefix: str = CONCEPTS
) -> dict[str, list[str]]:
    """Return the texts of each template id: `prefix` and 01, 02 and so on.

    Raises RecipeError for a template without exactly one {}, and for an empty vocabulary.
    """
    try:
        prompts = PromptSet(templates=tuple(templates), vocabulary=tuple(vocabulary))
    except ValidationError as errors:
        told = "; ".join(error["msg"].removeprefix("Value error, ") for error in errors.errors())
        raise RecipeError(
            f"These are no prompts: {told}. Give templates with one {{}} each and at least one "
            "word."
        ) from None
    return {
        f"{prefix}{number:02}": [template.replace("{}", word) for word in prompts.vocabulary]
        for number, template in enumerate(prompts.templates, 1)
    }


def store_prompt_features(
    store: PathOrFile,
    model: Encoder,
    template_texts_map: Mapping[str, Sequence[str]],
    *,
    batch_size: int = BATCH_SIZE,
) -> list[str]:
    """Encode and write the texts of each template id, and return the ids.

    Token features are written where the model projects them. The model's logit parameters go to
    each group and to the root. Raises OtherModel when the store holds another model's features.
    """
    with changing(store) as file:
        _take_model(file, model)
        for template_id, texts in template_texts_map.items():
            words = names_of(file, template_id, texts)
            tokens = text_tokens(model, texts, words)
            write_template(
                file,
                template_id=template_id,
                texts=list(texts),
                text_features=encode_all(model, texts, batch_size),
                text_token_features=tokens.tokens if tokens else None,
                token_spans=tokens.spans if tokens else None,
                logits=logits_of(model),
            )
    return list(template_texts_map)


def encode_all(model: Encoder, texts: Sequence[str], batch_size: int) -> Array:
    """Return (n, dim) unit features of `texts`, encoded in batches."""
    starts = range(0, len(texts), batch_size)
    found = [model.encode_texts(texts[start : start + batch_size]) for start in starts]
    return np.concatenate(found) if found else np.empty((0, model.dim), np.float32)


def encode_and_store_image_features(
    store: PathOrFile,
    model: Encoder,
    splits: Mapping[str, Images],
    *,
    batch_size: int = BATCH_SIZE,
) -> int:
    """Encode the images of every split into `store`, and return how many were encoded now.

    Splits are taken in the order train, val, test, then the others as given; within one, the order
    is the data's. What `split_counts` covers is skipped, in the middle of a batch too, so a call
    that was interrupted is simply made again. Tokens are kept where the store has them. Raises
    OtherModel when the store holds another model's features.
    """
    with changing(store) as file:
        refuse_torn(file)  # before the first batch is encoded
        _take_model(file, model)
        counts = json.loads(file.attrs.get("split_counts", "{}"))
        before = len(file[LABELS])
        for split in _in_order(splits):
            for batch in _batches(splits[split], counts.get(split, 0), batch_size):
                _append(file, model, batch, split)
        return len(file[LABELS]) - before


def _take_model(file: h5py.File, model: Encoder) -> None:
    check_model(file, model.fingerprint)
    if file[POOLED].shape[1] != model.dim:
        raise RecipeError(
            f"{file.filename} holds features of {file[POOLED].shape[1]} numbers, this model gives "
            f"{model.dim}. Make a file by init_file(D={model.dim}). Nothing was changed."
        )
    file.attrs["model_fingerprint"] = model.fingerprint
    file.attrs["activation"] = model.activation
    for name, value in logits_of(model).items():
        file.attrs[name] = value
    if TOKENS in file:
        _tell_token_space(file, model)


def _tell_token_space(file: h5py.File, model: Encoder) -> None:
    """Say how patches compare with texts: heatmaps need no model then."""
    space = token_space(model)
    file.attrs["token_space"], file.attrs["token_grid"] = space.name, space.grid
    if space.projection is not None and "token_projection" not in file:
        file["token_projection"] = np.asarray(space.projection, np.float32)


def _in_order(splits: Mapping[str, Images]) -> list[str]:
    named = {name or DEFAULT_SPLIT: name for name in splits}
    first = [name for name in _ORDER if name in named]
    return [*first, *(name for name in splits if name not in first)]


def _batches(images: Images, done: int, batch_size: int) -> Iterator[_Batch]:
    """Yield what is left, cut where whole batches end, as if nothing had been interrupted."""
    if done > len(images):
        raise RecipeError(
            f"The store has {done} images of a split of which {len(images)} were given: these are "
            "other images. Give the split whole and in the same order, or write another file."
        )
    rows = iter(range(done, len(images)))
    size = batch_size - done % batch_size
    while chosen := list(islice(rows, size)):
        pairs = [_pair(images[row]) for row in chosen]
        yield _Batch([image for image, _ in pairs], [label for _, label in pairs])
        size = batch_size


def _pair(item: Any) -> "tuple[Image.Image, int]":
    from PIL import Image

    image, label = item if isinstance(item, tuple | list) else (item, NO_LABEL)
    image = image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image))
    given = [NO_LABEL] if label is None else np.ravel(label)
    # Several labels an image are no label, as in the sources.
    return image.convert("RGB"), int(given[0]) if len(given) == 1 else NO_LABEL


def _append(file: h5py.File, model: Encoder, batch: _Batch, split: str) -> None:
    pixels = np.stack([model.preprocess(image) for image in batch.images])
    encoded = model.encode_images(pixels, tokens=TOKENS in file)
    append_batch(
        file,
        image_feats=_directions(encoded.pooled, split),
        image_token_feats=encoded.tokens,
        split_names=split,
        labels=batch.labels,
    )


def _directions(features: Array, split: str) -> Array:
    """Return `features` of unit norm; raises RecipeError for one that has no direction.

    Such a one has no cosine: it must not be kept as if it had.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    bad = np.flatnonzero(~(lengths[:, 0] > 0) | ~np.isfinite(lengths[:, 0]))
    if bad.size:
        raise RecipeError(
            f"{bad.size} of {len(features)} features that the model gave of split {split!r} have "
            "no direction (length 0 or not finite). Another precision, such as fp32, usually cures "
            "it. Nothing of this batch was written."
        )
    return np.asarray(features / lengths, np.float32)
