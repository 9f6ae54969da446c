"""TopK autoencoders: what is encoded does not depend on how much is held at once."""

import numpy as np
import pytest

from storage.tokens.errors import BadActivations
from storage.tokens.sae import Sae
from tasks.models import train_sae


@pytest.fixture
def sae() -> Sae:
    random = np.random.default_rng(0)
    rows = random.standard_normal((7, 3), np.float32)
    return Sae(rows, np.zeros(7, np.float32), rows, np.zeros(3, np.float32), 2)


def test_pieces_give_what_the_whole_gives(sae: Sae, monkeypatch: pytest.MonkeyPatch) -> None:
    states = np.random.default_rng(1).standard_normal((50, 3), np.float32)
    whole = train_sae.encode(sae, states)
    monkeypatch.setattr(train_sae, "_LATENTS_AT_ONCE", 7 * 8)
    pieces = train_sae.encode(sae, states)
    np.testing.assert_array_equal(pieces[0], whole[0])
    np.testing.assert_allclose(pieces[1], whole[1], rtol=1e-6)
    assert [rows.shape for rows in train_sae.encode(sae, states[:0])] == [(0, 2), (0, 2)]


def test_an_autoencoder_of_another_model_is_told(sae: Sae) -> None:
    with pytest.raises(BadActivations, match="states have 4 numbers, the autoencoder takes 3"):
        train_sae.encode(sae, np.zeros((2, 4), np.float32))
