"""Contexts: the seed's fields, and the passage as the text has it."""

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.tokens import TokenIndex
from storage.tokens.errors import BadActivations
from tasks.tokens.contexts import Contexts
from tasks.tokens.tokenizers import TextTokenizer, TokenizerMissing

TEXTS = [
    "The tacos al pastor were amazing, and the salsa too!",
    "Qué rico el jalapeño 🌶️ con crème brûlée, 美味しい, muy bueno.",
    "",
    "bad",
    "  spaces   and\nlines  ",
] * 3


@pytest.fixture(scope="session")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a byte-level tokenizer, as GPT-2's, trained on the texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    folder = tmp_path_factory.mktemp("models") / "bytes"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def theirs(byte_level: Path) -> Any:
    """Return the same tokenizer as the seed has it, of transformers."""
    import transformers

    loader: Any = transformers.PreTrainedTokenizerFast
    return loader(tokenizer_file=str(byte_level / "tokenizer.json"))


def owners(counts: Any, *, interleaved: bool = False) -> Any:
    reviews = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(0).permutation(reviews) if interleaved else reviews


@pytest.fixture(scope="module")
def contexts(
    byte_level: Path,
    files_of: Callable[..., Any],
    index_of: Callable[..., TokenIndex],
    entries: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Contexts:
    """Return the contexts of an index whose reviews are interleaved; some have too many tokens."""
    tokenizer = TextTokenizer.load(str(byte_level), Path())
    counts = tokenizer.counts(TEXTS) + np.arange(len(TEXTS)) % 3
    reviews = owners(counts, interleaved=True)
    folder = tmp_path_factory.mktemp("contexts")
    features, values = entries(len(reviews), 3, 20)
    index = index_of(
        files_of(folder / "files", features, values, reviews, texts=TEXTS), folder / "store", 20
    )
    return Contexts(index, tokenizer)


def test_every_context_is_the_seeds_and_none_where_it_has_none(
    contexts: Contexts, theirs: Any, seed: types.SimpleNamespace
) -> None:
    reviews = contexts.index.reviews
    positions = {name: reviews.review_token_positions(name) for name in reviews.ids}
    none = 0
    for token in range(contexts.index.n_tokens):
        for name in {str(reviews.ids[token % len(reviews.ids)]), _owner(contexts, token)}:
            wanted = seed.extract_context(theirs, token, name, reviews.review_lookup, positions)
            found = contexts.extract_context(token, name)
            assert (found and found.as_seed()) == wanted
            none += wanted is None
    assert none > 5


def _owner(contexts: Contexts, token: int) -> str:
    row = contexts.index.reviews.positions.reviews_of(np.array([token]))[0]
    return str(contexts.index.reviews.ids[row])


@pytest.mark.parametrize("window", [(0, 0), (2, 1), (20, 10), (1000, 1000)])
def test_the_window_is_the_seeds(
    contexts: Contexts, theirs: Any, seed: types.SimpleNamespace, window: tuple[int, int]
) -> None:
    reviews = contexts.index.reviews
    positions = {name: reviews.review_token_positions(name) for name in reviews.ids}
    for token in range(0, contexts.index.n_tokens, 7):
        name = _owner(contexts, token)
        given = (token, name, reviews.review_lookup, positions, *window)
        found = contexts.extract_context(token, name, *window)
        assert (found and found.as_seed()) == seed.extract_context(theirs, *given)


def test_text_and_spans_are_the_passage_as_the_review_has_it(contexts: Contexts) -> None:
    lookup = contexts.index.reviews.review_lookup
    for token in range(contexts.index.n_tokens):
        found = contexts.extract_context(token)
        if found is not None:
            assert found.text in lookup[found.review_id]
            assert all(0 <= a <= b <= len(found.text) for a, b in found.spans)
            covered = {place for span in found.spans for place in range(*span)}
            left = {place for place in range(len(found.text)) if found.text[place].strip()}
            assert left <= covered


def test_a_character_of_several_tokens_is_whole_in_every_one(contexts: Contexts) -> None:
    found = [contexts.extract_context(token) for token in range(contexts.index.n_tokens)]
    actives = [c.text[slice(*c.spans[c.active])] for c in found if c]
    assert any("美" in text for text in actives)
    assert not any("�" in c.text for c in found if c)


def test_an_unknown_review_or_token_has_no_context(contexts: Contexts) -> None:
    assert contexts.extract_context(0, "nobody's") is None
    assert contexts.extract_context(contexts.index.n_tokens) is None
    assert contexts.extract_context(-1) is None


# Counting a review's tokens when the index is built


@pytest.fixture
def built(
    byte_level: Path, files_of: Any, index_of: Any, entries: Any, tmp_path: Path
) -> Callable[[Any], TokenIndex]:
    """Return what builds an index whose reviews have so many tokens, checked by the tokenizer."""

    def build(change: Callable[[Any], Any]) -> TokenIndex:
        counts = change(TextTokenizer.load(str(byte_level), Path()).counts(TEXTS))
        features, values = entries(int(counts.sum()), 3, 20)
        files = files_of(tmp_path / "files", features, values, owners(counts), texts=TEXTS)
        index: TokenIndex = index_of(files, tmp_path / "store", 20, tokenizer=str(byte_level))
        return index

    return build


def test_equal_counts_are_taken(built: Any) -> None:
    assert built(lambda counts: counts).n_tokens > 100


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda counts: counts + 1, "special tokens: every review has 1 more"),
        (lambda counts: np.minimum(counts, 12), "truncation: no review has more than 12 tokens"),
        (
            lambda counts: np.minimum(counts + 2, 12),
            "special tokens, 2 a review, and truncation at 12",
        ),
        (lambda counts: counts + np.arange(len(counts)) % 2, "another tokenizer, or texts that"),
    ],
)
def test_other_counts_name_the_likely_cause(built: Any, change: Any, cause: str) -> None:
    with pytest.raises(BadActivations, match=cause) as caught:
        built(change)
    assert "tokens in the activation file, but tokenizer" in str(caught.value)


def test_a_missing_tokenizer_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TokenizerMissing, match=r"no tokenizer 'gpt2': no tokenizer\.json in") as c:
        TextTokenizer.load("gpt2", tmp_path)
    assert str(tmp_path / "gpt2") in str(c.value)
