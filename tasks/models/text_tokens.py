"""Text tokens in the space of patches, of the models that have them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tasks.models.protocols import Float32, ImageTextEncoder


@dataclass(frozen=True, eq=False)
class TextTokens:
    """The tokens of texts, projected into the space of patch tokens."""

    tokens: Float32
    """(n, T_txt, token_dim)."""
    spans: NDArray[np.int64]
    """(n, 2): first token of the word that was asked for, and the one behind its last."""


@runtime_checkable
class HasTextTokens(Protocol):
    """An encoder that projects text tokens into the space of patch tokens."""

    concept_logit_scale: float
    concept_logit_bias: float | None

    def encode_text_tokens(
        self, texts: Sequence[str], words: Sequence[str] | None = None
    ) -> TextTokens:
        """Return the tokens of `texts` and where in each the word of `words` stands; without words,
        the whole text."""
        ...


def text_tokens(
    encoder: ImageTextEncoder, texts: Sequence[str], words: Sequence[str] | None = None
) -> TextTokens | None:
    """Return the text tokens of `texts`, or None for a model that has none."""
    if not isinstance(encoder, HasTextTokens):
        return None
    return cast(HasTextTokens, encoder).encode_text_tokens(texts, words)


def logits_of(encoder: ImageTextEncoder) -> dict[str, float]:
    """Return the logit parameters that the model has, by the name of their attribute."""
    local = encoder if isinstance(encoder, HasTextTokens) else None
    found = {
        "logit_scale": encoder.logit_scale,
        "logit_bias": encoder.logit_bias,
        "concept_logit_scale": local.concept_logit_scale if local else None,
        "concept_logit_bias": local.concept_logit_bias if local else None,
    }
    return {name: value for name, value in found.items() if value is not None}
