"""Tokens: reviews, an index of activations, and the making of activations."""

from tasks.tokens.indexing import index_part, join_index, keep_reviews

__all__ = ["index_part", "join_index", "keep_reviews"]
