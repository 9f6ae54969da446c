"""Labels: score images by prompts, a matrix product."""

import numpy as np

from conf.labels import LabelRecipe
from conf.runtime import Runtime
from storage.images import ImageFeatures
from storage.labels import write_part
from storage.prompts import open_prompts
from storage.store import Artifact, ArtifactStore
from tasks.compute.labels import best_labels
from tasks.compute.norms import unit_rows
from tasks.declaring import part_task
from tasks.stopping import check_not_stopped


@part_task
def label_images(
    recipe: LabelRecipe, images: Artifact, prompts: Artifact, *, part: str, runtime: Runtime
) -> int:
    """Seal the best labels of the images of one part, and return how many images those are."""
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    key = recipe.key(images=store.key_of(images), prompts=store.key_of(prompts))
    draft = store.open_draft(key)
    contents = draft.rows_of(part)
    texts = open_prompts(store, prompts)
    features = unit_rows(ImageFeatures(store, images).pooled(contents).astype(np.float32))
    best = best_labels(
        features,
        texts.text_features,
        scale=texts.scoring.logit_scale,
        bias=texts.scoring.logit_bias,
        activation=texts.scoring.activation,
        top=min(recipe.top, len(texts.vocabulary)),
    )
    words = np.asarray(texts.vocabulary, dtype=object)[best.labels]
    with draft.write_part(part) as writer:
        write_part(writer, contents, words, best.confidences, best.cosines)
    return len(contents)
