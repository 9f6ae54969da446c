"""Hidden states of language models: as the model's own library gives them, for every token."""

import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.errors import RecipeError
from conf.runtime import Runtime
from conf.tokens import TextModel
from tasks.models.identity import WeightsMissing
from tasks.models.text_models import _context_of, load_text_states, weights_of

TEXTS = ["the tacos were good", "", "jalapeño!", "and the salsa was very good too"]


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a models root with a tiny GPT-2 of random weights, its context 8 tokens."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    root = tmp_path_factory.mktemp("models")
    loader: Any = transformers
    config = loader.GPT2Config(
        vocab_size=300,
        n_positions=8,
        n_embd=16,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    loader.GPT2Model(config).save_pretrained(root / "tiny")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet)
    )
    tokenizer.save(str(root / "tiny" / "tokenizer.json"))
    return root


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_states_are_those_of_the_library_and_long_texts_are_read_in_windows(
    gpt2: Path, layer: int
) -> None:
    import torch
    import transformers

    runtime = Runtime(models=gpt2, device="cpu")
    model = load_text_states(TextModel(family="huggingface", name="tiny", layer=layer), runtime)
    found = model.states(TEXTS, batch_size=3)
    loader: Any = transformers.AutoModel
    theirs = loader.from_pretrained(gpt2 / "tiny").eval()
    for text, states in zip(TEXTS, found, strict=True):
        ids = list(model.tokenizer.tokenize(text).ids)
        assert states.shape == (len(ids), 16)
        for start in range(0, len(ids), 8):
            window = torch.tensor([ids[start : start + 8]])
            with torch.inference_mode():
                wanted = theirs(window, output_hidden_states=True).hidden_states[layer][0]
            np.testing.assert_allclose(states[start : start + 8], wanted.numpy(), atol=1e-5)


def test_a_roberta_reads_windows_that_its_positions_hold(gpt2: Path) -> None:
    import transformers

    loader: Any = transformers
    config = loader.RobertaConfig(
        vocab_size=300, max_position_embeddings=8, hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=16, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    loader.RobertaModel(config).half().save_pretrained(gpt2 / "roberta")
    tokenizer = (gpt2 / "tiny" / "tokenizer.json").read_bytes()
    (gpt2 / "roberta" / "tokenizer.json").write_bytes(tokenizer)
    runtime = Runtime(models=gpt2, device="cpu")
    model = load_text_states(TextModel(family="huggingface", name="roberta", layer=1), runtime)
    (states,) = model.states(["and the salsa was very good too" * 3], batch_size=2)
    assert len(states) > 8
    assert np.isfinite(states).all()


def test_minilms_states_are_those_of_the_library() -> None:
    import torch
    import transformers

    model = load_text_states(TextModel(layer=6), Runtime(device="cpu"))
    folder = weights_of(TextModel(), Runtime())[0].parent
    loader: Any = transformers.AutoModel
    theirs = loader.from_pretrained(folder).eval()
    found = model.states(TEXTS, batch_size=4)
    for text, states in zip(TEXTS, found, strict=True):
        ids = list(model.tokenizer.tokenize(text).ids)
        if ids:
            with torch.inference_mode():
                wanted = theirs(torch.tensor([ids])).last_hidden_state[0]
            np.testing.assert_allclose(states, wanted.numpy(), atol=2e-5)


def test_a_layer_that_is_not_there_says_how_many_are() -> None:
    with pytest.raises(RecipeError, match=r"layer = 7, but the model has layers 0 to 6\."):
        load_text_states(TextModel(layer=7), Runtime(device="cpu"))


def test_a_missing_model_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"'gpt2' are missing.*Put its config\.json"):
        weights_of(TextModel(family="huggingface", name="gpt2"), Runtime(models=tmp_path))


def test_a_model_of_relative_positions_is_refused_by_its_type() -> None:
    config = types.SimpleNamespace(model_type="t5")
    with pytest.raises(RecipeError, match=r"model_type 't5'\) has no max_position_embeddings"):
        _context_of(types.SimpleNamespace(config=config))
