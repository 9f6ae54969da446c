"""Small artifacts of real kinds, made without a model: rows whose features say which row it is."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.images import ImageRecipe
from conf.keys import ArtifactKey
from conf.models import ModelSpec
from storage.drafts import Draft, Making
from storage.images import ImageFeatures, write_part
from storage.publishing import driving, seal
from storage.store import Artifact, ArtifactStore

RECIPE = ImageRecipe(
    model=ModelSpec(family="toy", precision="fp32", sha256="0" * 64, library="toy==1"), tokens=True
)
DIM, TOKENS = 8, 4

Maker = Callable[..., Artifact]


class Features:
    """Makes image features of numbered rows, and remembers which rows it encoded."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.encoded: list[int] = []
        self.part_rows = 3

    def making(self, numbers: Sequence[int]) -> Making:
        contents = tuple(content(number) for number in numbers)
        key = ArtifactKey.of("content", 1, sorted(contents))
        return Making(RECIPE, {"content": key}, contents)

    def make_part(self, draft: Draft, name: str) -> None:
        rows = list(draft.rows_of(name))
        numbers = [NUMBERS[row] for row in rows]
        self.encoded += numbers
        with draft.write_part(name) as writer:
            write_part(writer, rows, pooled(numbers), tokens(numbers), "fingerprint")

    def make(self, numbers: Sequence[int]) -> Artifact:
        making = self.making(numbers)
        with driving(self.store, making, part_rows=self.part_rows) as draft:
            if draft:
                for name in draft.pending():
                    self.make_part(draft, name)
            return seal(self.store, making.key)

    def draft(self, numbers: Sequence[int], *, parts: int | None = None) -> Draft:
        """Leave a draft of `numbers`, all or so many of its parts sealed, as a death would."""
        with driving(self.store, self.making(numbers), part_rows=self.part_rows) as draft:
            assert draft is not None
            for name in draft.pending()[:parts]:
                self.make_part(draft, name)
        return draft

    def read(self, artifact: Artifact) -> dict[int, tuple[float, float]]:
        """Return the first pooled number and the first token number by row number."""
        reader = ImageFeatures(self.store, artifact)
        numbers = [NUMBERS[row] for row in reader.contents]
        firsts = zip(reader.pooled()[:, 0].tolist(), reader.tokens()[:, 0, 0].tolist(), strict=True)
        return dict(zip(numbers, firsts, strict=True))

    @staticmethod
    def truth(numbers: Sequence[int]) -> dict[int, tuple[float, float]]:
        """Return what `read` must give for these rows."""
        return {number: (float(number), number + 0.5) for number in numbers}


def content(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


NUMBERS = {content(number): number for number in range(100)}


def pooled(numbers: Sequence[int]) -> np.ndarray[Any, Any]:
    return np.array([[number] * DIM for number in numbers], np.float16)


def tokens(numbers: Sequence[int]) -> np.ndarray[Any, Any]:
    return np.array([[[number + 0.5] * DIM] * TOKENS for number in numbers], np.float16)


@pytest.fixture(scope="session")
def features_in() -> type[Features]:
    """Return the class that makes image features in any store."""
    return Features


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """Return a store of the test's own."""
    return ArtifactStore(tmp_path / "store")


@pytest.fixture
def features(store: ArtifactStore) -> Features:
    """Return what makes image features in `store`."""
    return Features(store)
