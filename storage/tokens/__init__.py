"""Tokens on disk: reviews, postings, and the files they are made of."""

from conf.tokens import IndexRecipe, ReviewsRecipe
from storage.kinds import Kind
from storage.tokens.index import TokenIndex
from storage.tokens.postings import finish
from storage.tokens.reviews import Reviews

KINDS = (
    Kind(name=ReviewsRecipe.kind, open=Reviews, part_rows=1),
    Kind(name=IndexRecipe.kind, open=TokenIndex, part_rows=16, finish=finish),
)

__all__ = ["KINDS", "Reviews", "TokenIndex"]
