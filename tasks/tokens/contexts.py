"""Contexts: the text around a token, as the seed writes it and as the text has it."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from conf.runtime import Runtime
from storage.tokens import TokenIndex
from tasks.tokens.tokenizers import TextTokenizer, Tokenized


@dataclass(frozen=True)
class Context:
    """The tokens around one token of a review."""

    context: str
    """The seed's string: tokens as the vocabulary spells them, "Ġ" as a space, joined by spaces."""
    active_token: str
    position: int
    """Of the token among the tokens of its review."""
    review_id: str
    text: str
    """The passage itself, as the review has it."""
    spans: tuple[tuple[int, int], ...]
    """Which characters of `text` each token covers."""
    active: int
    """Which of `spans` is the token's."""

    def as_seed(self) -> dict[str, Any]:
        """Return the seed's four fields."""
        names = ("context", "active_token", "position", "review_id")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, eq=False)
class Contexts:
    """Contexts of an index's tokens; texts are tokenized as they are asked for."""

    index: TokenIndex
    tokenizer: TextTokenizer

    def extract_context(
        self,
        global_token_idx: int,
        rev_id: str | None = None,
        context_before: int = 20,
        context_after: int = 10,
    ) -> Context | None:
        """Return the context of a token, or None where there is none.

        That is: `rev_id` is no review, or one without text; the token is not one of `rev_id`, by
        default the review it belongs to; or the tokenizer makes fewer tokens of the text.
        """
        positions = self.index.reviews.positions
        if not 0 <= global_token_idx < positions.n_tokens:
            return None
        token = np.array([global_token_idx])
        owner = int(positions.reviews_of(token)[0])
        name = str(self.index.reviews.ids[owner])
        text = self.index.reviews.review_lookup.get(name)
        if not text or rev_id not in (None, name):
            return None
        place = int(positions.local_positions(token)[0])
        found = _tokenized(self.tokenizer, text)
        if place >= len(found.tokens):
            return None
        start = max(0, place - context_before)
        end = min(len(found.tokens), place + context_after + 1)
        return _context(found, text, name, place, start, end)


@lru_cache(maxsize=4096)
def _tokenized(tokenizer: TextTokenizer, text: str) -> Tokenized:
    return tokenizer.tokenize(text)


def _context(found: Tokenized, text: str, name: str, place: int, start: int, end: int) -> Context:
    words = [token.replace("Ġ", " ") for token in found.tokens[start:end]]
    spans = found.spans[start:end]
    first, last = (spans[0][0], max(stop for _, stop in spans)) if spans else (0, 0)
    return Context(
        context=" ".join(words),
        active_token=found.tokens[place].replace("Ġ", " "),
        position=place,
        review_id=name,
        text=text[first:last],
        spans=tuple((begin - first, stop - first) for begin, stop in spans),
        active=place - start,
    )


def contexts_of(index: TokenIndex, runtime: Runtime, tokenizer: str | None = None) -> Contexts:
    """Return the contexts of an index: by `tokenizer`, or the one that it was checked with, or
    gpt2, as the seed has it. Raises TokenizerMissing."""
    name = tokenizer or index.manifest.made.get("tokenizer") or "gpt2"
    return Contexts(index, TextTokenizer.load(str(name), runtime.models))
