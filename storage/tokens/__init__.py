"""Tokens on disk: reviews, postings, and the files they are made of."""

from conf.tokens import (
    ActivationsRecipe,
    IndexRecipe,
    PostingsRecipe,
    ReviewsRecipe,
    SaeRecipe,
    TextsRecipe,
)
from storage.kinds import Kind
from storage.tokens.index import TokenIndex, TokenPostings
from storage.tokens.made import files_of
from storage.tokens.made import finish as finish_activations
from storage.tokens.postings import finish as finish_postings
from storage.tokens.reviews import Reviews
from storage.tokens.sae import open_sae
from storage.tokens.texts import open_texts

__all__ = ["KINDS", "Reviews", "TokenIndex", "TokenPostings"]

KINDS = (
    Kind(name=ReviewsRecipe.kind, open=Reviews, part_rows=1),
    Kind(name=PostingsRecipe.kind, open=TokenPostings, part_rows=16, finish=finish_postings),
    Kind(name=IndexRecipe.kind, open=TokenIndex, part_rows=1),
    Kind(name=TextsRecipe.kind, open=open_texts, part_rows=1),
    Kind(name=SaeRecipe.kind, open=open_sae, part_rows=1),
    Kind(name=ActivationsRecipe.kind, open=files_of, part_rows=256, finish=finish_activations),
)
