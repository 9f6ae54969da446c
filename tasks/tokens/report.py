"""What a run tells of an index: the features most tied to stars, where they are strongest."""

from conf.runtime import Runtime
from storage.tokens import TokenIndex
from tasks.tokens.contexts import Contexts, contexts_of
from tasks.tokens.joins import associations


def star_rows(
    index: TokenIndex, runtime: Runtime, features: int = 3, contexts: int = 3
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows: the features whose activation rises most surely with stars, each
    with its strongest contexts, one a review, the active token in brackets."""
    found = associations(index, "stars")
    found = found[found["z"] > 0].head(features)
    reader = contexts_of(index, runtime)
    rows: list[tuple[str, ...]] = []
    for row in found.to_dict("records"):
        tokens, values = index.ranked(int(row["feature"]), contexts, one_per_review=True)
        facts = (str(row["feature"]), f"{row['effect']:+.4f}", f"{row['q']:.1e}")
        for place, (token, value) in enumerate(zip(tokens, values, strict=True)):
            told = facts if place == 0 else ("", "", "")
            rows.append((*told, f"{value:.2f}", marked(reader, int(token))))
    return ("feature", "a star more", "q", "activation", "context"), rows


def marked(reader: Contexts, token: int, before: int = 8, after: int = 5) -> str:
    """Return the passage around a token, the token itself in brackets."""
    found = reader.extract_context(token, None, before, after)
    if found is None:
        return ""
    start, stop = found.spans[found.active]
    return f"{found.text[:start]}[{found.text[start:stop]}]{found.text[stop:]}"
