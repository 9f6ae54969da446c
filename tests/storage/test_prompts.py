from pathlib import Path

import numpy as np
import pytest

from conf.keys import ArtifactKey
from storage.manifest import Manifest
from storage.parts import part_name, writing
from storage.prompts import Prompts, Scoring, open_prompts, write_prompts
from storage.store import Artifact, ArtifactStore

KEY = ArtifactKey("prompt-features", 1, "0" * 16)


def prompts(*words: str, bias: float | None = None) -> Prompts:
    return Prompts(
        vocabulary=words,
        templates=("a photo of {}",),
        texts=tuple(f"a photo of {word}" for word in words),
        text_features=np.array([[len(word), 0] for word in words], np.float32),
        texts_hash="f" * 64,
        scoring=Scoring(27.0, bias, "softmax" if bias is None else "sigmoid"),
    )


def written(store: ArtifactStore, *parts: Prompts) -> Artifact:
    for number, part in enumerate(parts):
        parts_folder = store.folder(KEY) / "parts"
        parts_folder.mkdir(parents=True, exist_ok=True)
        with writing(parts_folder, KEY, part_name(KEY, number), part.vocabulary) as writer:
            write_prompts(writer, part, "fingerprint")
    words = sorted(word for part in parts for word in part.vocabulary)
    recipe = {"prompts": {"vocabulary": words}}
    Manifest(str(KEY), "", "", recipe, {}, len(words), {}).write(store.folder(KEY))
    return Artifact(kind=KEY.kind, key=str(KEY), rows=len(parts), store=store.uuid)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


@pytest.mark.parametrize("bias", [None, 0.0, -16.5])
def test_what_it_takes_to_score_is_read_back_as_it_was_written(
    store: ArtifactStore, bias: float | None
) -> None:
    sent = prompts("a cat", "Öl", bias=bias)
    read = open_prompts(store, written(store, sent))
    assert (read.scoring, read.vocabulary, read.texts) == (
        sent.scoring,
        sent.vocabulary,
        sent.texts,
    )
    assert read.texts_hash == sent.texts_hash


def test_words_come_in_the_order_of_the_vocabulary_wherever_their_parts_lie(
    store: ArtifactStore,
) -> None:
    read = open_prompts(store, written(store, prompts("sheep", "mouse"), prompts("cat")))
    assert read.vocabulary == ("cat", "mouse", "sheep")
    assert read.texts == ("a photo of cat", "a photo of mouse", "a photo of sheep")
    assert read.text_features[:, 0].tolist() == [3, 5, 5]
