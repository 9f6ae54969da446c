"""Prompts: encode a vocabulary said in templates."""

import numpy as np

from conf.prompts import PromptRecipe, PromptSet
from conf.runtime import Runtime
from storage.prompts import Prompts, Scoring, write_prompts
from storage.store import ArtifactStore
from tasks.compute.prompts import ensemble, texts_hash
from tasks.declaring import part_task
from tasks.lanes import spans
from tasks.models.load import enter_lane, load_encoder
from tasks.models.protocols import ImageTextEncoder
from tasks.stopping import check_not_stopped


@part_task
def encode_prompts(recipe: PromptRecipe, *, part: str, runtime: Runtime) -> int:
    """Seal the features of the words of `part`, and return how many those are."""
    check_not_stopped()
    draft = ArtifactStore(runtime.store).open_draft(recipe.key())
    words = tuple(draft.rows_of(part))
    encoder = load_encoder(recipe.model, runtime)
    enter_lane(encoder.device)
    with draft.write_part(part) as writer:
        writer.device = encoder.device
        prompts = _encode(recipe.prompts, words, encoder, runtime.batch_size)
        write_prompts(writer, prompts, encoder.fingerprint)
    return len(words)


def _encode(
    prompts: PromptSet, words: tuple[str, ...], encoder: ImageTextEncoder, batch_size: int
) -> Prompts:
    texts = prompts.texts(words)
    batches = [texts[span] for span in spans(len(texts), batch_size)]
    features = np.concatenate([encoder.encode_texts(batch) for batch in batches])
    return Prompts(
        vocabulary=words,
        templates=prompts.templates,
        texts=texts,
        text_features=ensemble(features, len(prompts.templates)),
        texts_hash=texts_hash(prompts.texts()),
        scoring=Scoring(encoder.logit_scale, encoder.logit_bias, encoder.activation),
    )
