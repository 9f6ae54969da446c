"""Making activations: texts that are cut to a limit, and what an autoencoder needs at least."""

from pathlib import Path

import pytest

from conf.errors import RecipeError
from conf.runtime import Runtime
from conf.tokens import GrammarSpec, SaeRecipe, TextModel, TextsRecipe
from storage.drafts import Making
from storage.publishing import driving, seal
from storage.store import ArtifactStore
from storage.tokens.texts import open_texts
from tasks.tokens import making


def test_a_limit_cuts_what_the_grammar_writes(tmp_path: Path) -> None:
    recipe = TextsRecipe(grammar=GrammarSpec(reviews=5), limit=2)
    store, runtime = ArtifactStore(tmp_path), Runtime(store=tmp_path, progress=False)
    with driving(store, Making(recipe, {}, ("texts",))) as draft:
        for part in draft.pending() if draft else ():
            assert making.keep_texts.fn(recipe, part=part, path=None, runtime=runtime) == 2
    assert len(open_texts(store, seal(store, recipe.key()))) == 2


@pytest.mark.parametrize("texts", [[""], ["too few words"]])
def test_an_autoencoder_of_too_few_tokens_is_refused(texts: list[str]) -> None:
    recipe = SaeRecipe(model=TextModel(layer=0))
    with pytest.raises(RecipeError, match=r"cannot be trained on [03] tokens; 20 are the least"):
        making._first_states(recipe, texts, Runtime(device="cpu"))
