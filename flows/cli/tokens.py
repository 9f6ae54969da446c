"""`featuremill tokens ASK INDEX ...`: questions to an index over activations."""

import argparse
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from conf.errors import RecipeError
from flows.cli import DONE, print_answer, runtime_of

if TYPE_CHECKING:
    from storage.tokens import TokenIndex

HELP = "ask an index over activations: features, their tokens, contexts, reviews, associations"

_WHOLE = ("all", "at")
"""What is answered in full unless --count says otherwise."""

Answer = tuple[tuple[str, ...], list[tuple[Any, ...]]]

_ASKS = {
    "features": "the strongest features: count, density, mean, max",
    "feature": "statistics of FEATURE, with its histogram",
    "all": "all tokens of FEATURE, from the first",
    "at": "what FEATURE is at TOKEN, or at every one from TOKEN to before END",
    "top": "the strongest tokens of FEATURE, in context",
    "context": "the text around TOKEN",
    "strata": "tokens of FEATURE from every tenth of its values, in context",
    "reviews": "reviews ranked by FEATURE",
    "review": "the features of review NAME",
    "coactive": "the features most often active where FEATURE is, with their lift",
    "both": "tokens where FEATURE and the one given with --and (not --and-not) are active",
    "stars": "the features most tied to stars; of FEATURE, how users and businesses differ",
    "separating": "what separates 1-star from 5-star reviews, or those of LOW and HIGH stars",
    "pages": "write a page for each FEATURE, or for those most tied to stars, into --into",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the question, the index, and what is asked of it."""
    told = "; ".join(f"{ask}: {what}" for ask, what in _ASKS.items())
    parser.add_argument("ask", choices=_ASKS, help=told)
    parser.add_argument("index", help="the index: a key, the start of one, or a run's name for it")
    told = "features, tokens, stars, or a review, as the question has them"
    parser.add_argument("subject", nargs="*", metavar="SUBJECT", help=told)
    told = "how many (default: 20; of `all` and `at`, all)"
    parser.add_argument("--count", type=_counted, help=told)
    parser.add_argument("--tokenizer", help="for contexts (default: the one of the index, or gpt2)")
    parser.add_argument("--one-per-review", action="store_true", help="the best of each review")
    parser.add_argument("--and", dest="also", type=int, help="with `both`: the other feature")
    parser.add_argument("--and-not", dest="unless", type=int, help="with `both`: the absent one")
    parser.add_argument(
        "--within", type=_counted, default=0, help="with `both`: tokens apart, at most"
    )
    parser.add_argument("--before", type=_counted, default=20, help="with `context`: tokens before")
    parser.add_argument("--after", type=_counted, default=10, help="with `context`: tokens after")
    parser.add_argument("--column", default="stars", help="with `stars`: stars or useful")
    parser.add_argument("--into", default="feature-pages", help="with `pages`: the directory")


def run(given: argparse.Namespace) -> int:
    """Print the answer."""
    from storage.open import open_artifact
    from storage.tokens import TokenIndex

    runtime = runtime_of(given)
    index = open_artifact(given.index, runtime.store)
    if not isinstance(index, TokenIndex):
        raise RecipeError(f"{given.index!r} is no index over activations: `featuremill ls` lists.")
    if given.count is None and given.ask not in _WHOLE:
        given.count = 20
    print_answer(*_ANSWERS[given.ask](index, given), as_json=given.json)
    return DONE


def _feature(given: argparse.Namespace) -> int:
    return _numbers(given, "the number of a feature")[0]


def _numbers(
    given: argparse.Namespace, wanted: str, *, least: int = 1, most: float = 1
) -> list[int]:
    words = given.subject
    if not least <= len(words) <= most or not all(word.isdecimal() for word in words):
        raise RecipeError(f"`tokens {given.ask}` wants {wanted} after the index.")
    return [int(word) for word in words]


def _counted(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"{word!r} is no number from 0")
    return int(word)


def _features(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    from tasks.tokens.statistics import feature_table

    return _table(feature_table(index).nlargest(given.count, "count"))


def _one_feature(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    from tasks.tokens.statistics import feature_table, histogram

    number = _feature(given)
    facts = feature_table(index, [number]).to_dict("records")[0]
    rows = [(str(name), _plain(value)) for name, value in facts.items()]
    bins = [(f"{low:.3g} to {high:.3g}", n) for low, high, n in histogram(index, number) if n]
    return ("what", "value"), [*rows, *bins]


def _contexts(index: "TokenIndex", given: argparse.Namespace, tokens: Any, values: Any) -> Answer:
    from tasks.tokens.contexts import contexts_of

    reader = contexts_of(index, runtime_of(given), given.tokenizer)
    found = [reader.extract_context(int(token)) for token in tokens]
    rows = [
        (int(token), float(value), c.review_id, c.position, c.active_token, c.text)
        if c
        else (int(token), float(value), "", -1, "", "")
        for token, value, c in zip(tokens, values, found, strict=True)
    ]
    return ("token", "activation", "review", "position", "active token", "text"), rows


def _all(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    tokens, values = index.postings(_feature(given))
    found = tokens[: given.count], values[: given.count]
    return ("token", "activation"), [(int(t), float(v)) for t, v in zip(*found, strict=True)]


def _at(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    wanted = "FEATURE and TOKEN, or FEATURE, TOKEN and END"
    feature, token, *end = _numbers(given, wanted, least=2, most=3)
    if end:
        values = index.get_feature_activations_chunk(feature, token, *end).tolist()
    else:
        values = [index.get_feature_activation(token, feature)]
    return ("token", "activation"), list(enumerate(values[: given.count], start=token))


def _context(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    from tasks.tokens.contexts import contexts_of

    (token,) = _numbers(given, "the number of a token")
    reader = contexts_of(index, runtime_of(given), given.tokenizer)
    found = reader.extract_context(token, None, given.before, given.after)
    if found is None:
        raise RecipeError(
            f"Token {token} has no context: this index has {index.n_tokens} tokens, from 0, and "
            f"either this is none of them, or tokenizer {reader.tokenizer.name!r} makes fewer of "
            "its review's text. Name the right one with --tokenizer."
        )
    return ("what", "value"), [*found.as_seed().items(), ("text", found.text)]


def _top(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    found = index.ranked(_feature(given), given.count, one_per_review=given.one_per_review)
    return _contexts(index, given, *found)


def _strata(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    from tasks.tokens.statistics import strata

    found = strata(index, _feature(given), each=max(1, given.count // 10))
    header, rows = _contexts(
        index, given, [t for s in found for t in s.tokens], [v for s in found for v in s.values]
    )
    tenths = [stratum.number for stratum in found for _ in stratum.tokens]
    return ("tenth", *header), [(n, *row) for n, row in zip(tenths, rows, strict=True)]


def _reviews(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    return _table(index.reviews_of_feature(_feature(given), given.count))


def _review(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    if not given.subject:
        raise RecipeError("`tokens review` wants the id of a review after the index.")
    return _table(index.features_of_review(given.subject[0]).head(given.count))


def _coactive(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    from tasks.tokens.statistics import coactive

    return _table(coactive(index, _feature(given)).head(given.count))


def _both(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    from tasks.tokens.statistics import tokens_with

    if (given.also is None) == (given.unless is None):
        raise RecipeError("`tokens both` wants one of --and FEATURE and --and-not FEATURE.")
    other = given.unless if given.also is None else given.also
    tokens, values = tokens_with(
        index, _feature(given), other, absent=given.also is None, within=given.within
    )
    return _contexts(index, given, tokens[: given.count], values[: given.count])


def _stars(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    from tasks.tokens.joins import associations, by_group

    if not given.subject:
        return _table(associations(index, given.column).head(given.count))
    groups = [by_group(index, _feature(given), name) for name in ("user_id", "business_id")]
    tables = [_table(table.head(given.count)) for table in groups]
    return tables[0][0], [row for _, rows in tables for row in rows]


def _separating(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    from tasks.tokens.joins import separating

    stars = _numbers(given, "two numbers of stars, or nothing", least=0, most=2)
    if len(stars) == 1:
        raise RecipeError("`tokens separating` wants LOW and HIGH, such as 1 5, or nothing.")
    return _table(separating(index, *stars).head(given.count))


def _pages(index: "TokenIndex", given: argparse.Namespace) -> Answer:
    from pathlib import Path

    from tasks.tokens.pages import write_pages

    features = _numbers(given, "numbers of features, or nothing", least=0, most=math.inf)
    into = Path(given.into)
    found = write_pages(
        index, into, runtime_of(given), features, count=given.count, tokenizer=given.tokenizer
    )
    return ("page",), [(str(path),) for path in found]


def _table(frame: Any) -> Answer:
    header = tuple(str(name) for name in frame.columns)
    rows = [tuple(map(_plain, row.values())) for row in frame.to_dict("records")]
    return header, rows


def _plain(cell: Any) -> Any:
    """Return a value that JSON has; NaN, a number that could not be computed, is null."""
    return None if isinstance(cell, float) and cell != cell else cell


_ANSWERS: dict[str, Callable[["TokenIndex", argparse.Namespace], Answer]] = {
    "features": _features,
    "feature": _one_feature,
    "all": _all,
    "at": _at,
    "top": _top,
    "context": _context,
    "strata": _strata,
    "reviews": _reviews,
    "review": _review,
    "coactive": _coactive,
    "both": _both,
    "stars": _stars,
    "separating": _separating,
    "pages": _pages,
}
