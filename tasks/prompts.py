"""Prompts: encode a vocabulary said in templates."""

import numpy as np

from conf.prompts import PromptRecipe
from conf.runtime import Runtime
from storage.prompts import Prompts, Scoring, write_prompts
from storage.store import ArtifactStore
from tasks.checkpoint import check_not_stopped, part_task
from tasks.compute.prompts import ensemble, texts_hash
from tasks.models.load import enter_lane, load_encoder
from tasks.models.protocols import ImageTextEncoder


@part_task
def encode_prompts(recipe: PromptRecipe, *, part: str, runtime: Runtime) -> int:
    """Seal the features of all prompts of `recipe`, and return how many words they stand for."""
    check_not_stopped()
    draft = ArtifactStore(runtime.store).open_draft(recipe.key())
    encoder = load_encoder(recipe.model, runtime)
    enter_lane(encoder.device)
    with draft.write_part(part) as writer:
        write_prompts(writer, _encode(recipe, encoder, runtime.batch_size), encoder.fingerprint)
    return len(recipe.prompts.vocabulary)


def _encode(recipe: PromptRecipe, encoder: ImageTextEncoder, batch_size: int) -> Prompts:
    texts = recipe.prompts.texts()
    batches = [texts[start : start + batch_size] for start in range(0, len(texts), batch_size)]
    features = np.concatenate([encoder.encode_texts(batch) for batch in batches])
    return Prompts(
        vocabulary=recipe.prompts.vocabulary,
        templates=recipe.prompts.templates,
        texts=texts,
        text_features=ensemble(features, len(recipe.prompts.templates)),
        texts_hash=texts_hash(texts),
        scoring=Scoring(encoder.logit_scale, encoder.logit_bias, encoder.activation),
    )
