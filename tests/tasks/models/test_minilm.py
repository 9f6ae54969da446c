import json
from collections.abc import Callable
from typing import Any

import numpy as np

from tasks.models import pocket

TEXTS = ["one", "a photo of a cat", "a longer sentence, with commas and 12 numbers: café!"]


def test_it_says_what_transformers_says(encoder: Callable[..., Any]) -> None:
    import torch
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertModel

    folder = pocket.weight_files()["text"].parent
    config = json.loads((folder / "config.json").read_text())
    bert = BertModel(BertConfig(**config), add_pooling_layer=False)
    bert.train(False)
    bert.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    for text in TEXTS:
        with torch.no_grad():
            hidden = bert(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0]
        expected = torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy()
        ours = encoder("pocket").encode_texts([text])[0]
        np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_order_of_texts_is_kept_though_lengths_are_sorted(encoder: Callable[..., Any]) -> None:
    pocket_encoder = encoder("pocket")
    forward = pocket_encoder.encode_texts(TEXTS)
    backward = pocket_encoder.encode_texts(TEXTS[::-1])
    np.testing.assert_allclose(forward, backward[::-1], atol=2e-6)
