"""What CLIP-IQA by the encoder that labels adds to labelling: no forward pass of an image.

Photos are labelled by the pocket encoder: encoded, then scored by the texts of the labels, which
are encoded beforehand. On top of that come the antonyms' texts and the scores of CLIP-IQA.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from benchmarks._harness import Figures, main, timed
from benchmarks._images import write_photos
from benchmarks._making import POCKET, TOY, image_making, image_recipe, keep_dataset, quiet_runtime
from conf.labels import LabelRecipe
from conf.models import ModelSpec
from conf.prompts import PromptRecipe, PromptSet
from conf.quality import GOOD_AND_BAD, ClipIqaRecipe
from conf.runtime import Runtime
from conf.sources.folder import Source
from storage.drafts import Making
from storage.publishing import driving, seal
from storage.store import Artifact, ArtifactStore
from tasks.images import encode_part
from tasks.labels import label_images
from tasks.models.load import load_encoder
from tasks.prompts import encode_prompts
from tasks.quality import score_clip_iqa

_PHOTOS, _SMALL_PHOTOS = 128, 8
_ROUNDS = 3
_LABELS = PromptSet(
    templates=("a photo of {}", "a {} scene"),
    vocabulary=("sea", "city", "animal", "face", "sky", "food", "street", "flower"),
)


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the seconds that CLIP-IQA adds, as a share of those of labelling."""
    count = _SMALL_PHOTOS if small else _PHOTOS
    write_photos(folder / "photos", count, (1280, 960), max_bytes=1 << 20)
    model = TOY if small else POCKET
    _round(folder, "warm", model, limit=2)  # imports, loads
    rounds = [_round(folder, str(n), model) for n in range(1 if small else _ROUNDS)]
    labelling, added = ([one[name] for one in rounds] for name in ("labelling", "clip_iqa"))
    return {
        "ratio": round(median(a / b for a, b in zip(added, labelling, strict=True)), 4),
        "unit": "seconds that CLIP-IQA adds / seconds of labelling",
        "seconds": round(median(added), 4),
        "labelling_seconds": round(median(labelling), 4),
        "photos": count,
        "images_encoded": rounds[0]["images_labelling"],
        "images_encoded_by_clip_iqa": rounds[0]["images_clip_iqa"],
    }


def _round(folder: Path, name: str, model: ModelSpec, limit: int | None = None) -> dict[str, Any]:
    runtime = quiet_runtime(folder / f"store-{name}")
    source = Source(root=folder / "photos", limit=limit)
    dataset, ledger = keep_dataset(source, runtime)
    recipe = image_recipe(model, runtime)
    make = _Making(runtime)
    texts = make.prompts(recipe.model, _LABELS)
    found: dict[str, Any] = {}

    def label() -> None:
        making = image_making(recipe, ledger)
        found["images"] = make(making, encode_part, dataset, source=source)
        labels = Making(LabelRecipe(top=5), make.keys(found["images"], texts), ledger.contents)
        make(labels, label_images, found["images"], texts)

    def score() -> None:
        said = PromptSet(templates=("{}",), vocabulary=GOOD_AND_BAD[0])
        antonyms = make.prompts(recipe.model, said)
        scores = Making(ClipIqaRecipe(), make.keys(found["images"], antonyms), ledger.contents)
        make(scores, score_clip_iqa, found["images"], antonyms)

    encoder = load_encoder(recipe.model, runtime)
    for what, work in (("labelling", label), ("clip_iqa", score)):
        found[what], found[f"images_{what}"] = _counted(encoder, work)
    return found


def _counted(encoder: Any, work: Callable[[], None]) -> tuple[float, int]:
    """Return the seconds of `work`, and how many images `encoder` saw meanwhile."""
    seen: list[int] = []
    encode = encoder.encode_images

    def encode_images(pixels: Any, **named: Any) -> Any:
        seen.append(len(pixels))
        return encode(pixels, **named)

    with patch.object(encoder, "encode_images", encode_images):
        return timed(work), sum(seen)


class _Making:
    """Makes artifacts by the real tasks, without a server."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._store = runtime, ArtifactStore(runtime.store)

    def __call__(
        self, making: Making, part_task: Any, *inputs: Artifact, **places: Any
    ) -> Artifact:
        with driving(self._store, making) as draft:
            for part in draft.pending() if draft else ():
                part_task.fn(making.recipe, *inputs, part=part, runtime=self._runtime, **places)
            return seal(self._store, making.key)

    def prompts(self, model: ModelSpec, said: PromptSet) -> Artifact:
        """Return the texts of `said`, encoded."""
        recipe = PromptRecipe(model=model, prompts=said)
        return self(Making(recipe, {}, said.vocabulary), encode_prompts)

    def keys(self, images: Artifact, prompts: Artifact) -> Mapping[str, Any]:
        """Return what labels and scores are made of."""
        return {"images": self._store.key_of(images), "prompts": self._store.key_of(prompts)}


if __name__ == "__main__":
    main("clip_iqa", measure)
