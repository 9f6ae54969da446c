"""Restaurant reviews written by a seeded grammar: 1 to 5 stars, and words that go with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DISHES = (
    *("tacos", "pozole", "mole", "enchiladas", "ceviche", "tamales", "jalapeño poppers"),
    *("crème brûlée", "burritos", "quesadillas", "salsa", "guacamole", "flan", "horchata"),
)
_GOOD = ("delicious", "amazing", "fresh", "perfect", "wonderful", "fantastic", "flavorful")
_BAD = ("terrible", "cold", "bland", "greasy", "stale", "awful", "disgusting")
_FAIR = ("okay", "average", "decent", "fine", "acceptable")
_SENTENCES = {
    "good": (
        "The {dish} were absolutely {good}.",
        "Our server was friendly and the {dish} came out {good}.",
        "I love this place, best {dish} in town!",
        "Everything was {good}, highly recommend the {dish}.",
        "The staff was kind and the {dish} tasted {good}.",
        "We will definitely come back for the {dish}.",
    ),
    "bad": (
        "The {dish} were {bad} and overpriced.",
        "Our waiter was rude and we waited an hour for {dish}.",
        "Worst {dish} I have ever had, never again.",
        "The {dish} tasted {bad}, I want a refund.",
        "The table was dirty and the {dish} came {bad}.",
        "I found a hair in the {dish}, avoid this place.",
    ),
    "fair": (
        "The {dish} were {fair}, nothing special.",
        "Parking is hard, but the {dish} were {fair}.",
        "We ordered {dish} and a drink at the bar.",
        "The place is small and the {dish} are {fair}.",
        "It was busy on Friday night when we tried the {dish}.",
    ),
}  # fmt: skip
_SHARES = {1: (0.05, 0.75), 2: (0.15, 0.5), 3: (0.3, 0.3), 4: (0.55, 0.12), 5: (0.8, 0.03)}
"""How likely a sentence is good, and bad, by stars; the others are fair."""


@dataclass(frozen=True)
class WrittenReview:
    """One review."""

    review_id: str
    text: str
    stars: int
    useful: int
    user_id: str
    business_id: str


def write_reviews(count: int, seed: int = 0) -> list[WrittenReview]:
    """Return `count` reviews; the first of more are the same."""
    return [_review(number, seed) for number in range(count)]


def _review(number: int, seed: int) -> WrittenReview:
    random = np.random.default_rng([seed, number])
    business = int(random.integers(40))
    liking = random.normal(3.2 + 0.8 * np.sin(business), 1.3)  # some places are better than others
    stars = int(np.clip(np.rint(liking), 1, 5))
    sentences = [_sentence(stars, random) for _ in range(random.integers(2, 6))]
    return WrittenReview(
        review_id=f"review-{seed}-{number:06d}",
        text=" ".join(sentences),
        stars=stars,
        useful=int(random.poisson(1 + abs(stars - 3))),
        user_id=f"user-{int(random.zipf(1.6)) % 500}",
        business_id=f"business-{business}",
    )


def _sentence(stars: int, random: np.random.Generator) -> str:
    good, bad = _SHARES[stars]
    draw = random.random()
    mood = "good" if draw < good else "bad" if draw < good + bad else "fair"
    text = _one(_SENTENCES[mood], random)
    words = {"dish": _DISHES, "good": _GOOD, "bad": _BAD, "fair": _FAIR}
    return text.format(**{name: _one(choices, random) for name, choices in words.items()})


def _one(choices: Sequence[str], random: np.random.Generator) -> str:
    return choices[int(random.integers(len(choices)))]
