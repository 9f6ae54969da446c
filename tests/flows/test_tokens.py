"""Flow `tokens`: from texts to an index, resumed and reused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from conf.runtime import Runtime
from conf.tokens import FilesSource, GrammarSpec, Preset, SaeSource, TextModel, TextsSource
from flows.cli import main
from flows.planning import Plan
from flows.run import Run
from flows.tokens import token_index
from storage.open import open_artifact
from storage.store import ArtifactStore
from storage.tokens import TokenIndex
from storage.tokens.errors import BadActivations

pytestmark = pytest.mark.usefixtures("prefect_harness")

Planned = Callable[..., tuple[Plan, Run]]
PRESET = Preset(
    texts=TextsSource(grammar=GrammarSpec(reviews=300, seed=1)),
    model=TextModel(layer=1),
    sae=SaeSource(n_features=128, k=8, steps=60, tokens=8000),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run over written reviews, in parts of 100."""
    store = tmp_path_factory.mktemp("tokens") / "store"
    return token_index(PRESET, Runtime(store=store, part_rows=100, progress=False))


@pytest.fixture(scope="module")
def index(made: Run) -> TokenIndex:
    """Return its index."""
    found: TokenIndex = open_artifact(made.made[-1].artifact, made.store)
    return found


def test_a_second_run_makes_nothing(made: Run, as_planned: Planned) -> None:
    _, again = as_planned("tokens", PRESET, made.runtime)
    assert [one.state for one in made.made] == ["Completed"] * 6
    assert [one.state for one in again.made] == ["Cached"] * 6


def test_every_token_has_its_features_in_the_seeds_files(made: Run, index: TokenIndex) -> None:
    activations, metadata = open_artifact(made.made[2].artifact, made.store)
    with h5py.File(activations) as file:
        assert sorted(file) == ["rev_idx", "review_ids_unique", "z_idx", "z_val"]
        assert file["z_idx"].shape == file["z_val"].shape == (index.n_tokens, 8)
        assert file["z_val"].dtype == np.float32
    with np.load(metadata, allow_pickle=True) as found:  # a file that this test made
        names = ["business_ids", "review_ids", "stars", "texts", "useful", "user_ids"]
        assert sorted(found.files) == names
        assert found["texts"].dtype == object


def test_the_trained_autoencoder_explains_most_of_what_it_has_not_seen(made: Run) -> None:
    (config,) = made.store.path_of(made.made[1].artifact).glob("parts/*/cfg.json")
    assert json.loads(config.read_text())["explained_variance"] > 0.5


def test_parts_change_no_activation(made: Run, index: TokenIndex, tmp_path: Path) -> None:
    # Batches of other lengths are summed in another order: as good, not the same to the last bit.
    (config,) = made.store.path_of(made.made[1].artifact).glob("parts/*/cfg.json")
    given = PRESET.model_copy(update={"sae": SaeSource(path=config.parent)})
    other = token_index(given, Runtime(store=tmp_path / "store", part_rows=77, progress=False))
    theirs: TokenIndex = open_artifact(other.made[-1].artifact, other.store)
    assert theirs.n_tokens == index.n_tokens
    np.testing.assert_allclose(theirs.column("sum"), index.column("sum"), rtol=0.02, atol=2)


def test_an_autoencoder_in_a_directory_is_used(
    made: Run, index: TokenIndex, as_planned: Planned
) -> None:
    (config,) = made.store.path_of(made.made[1].artifact).glob("parts/*/cfg.json")
    given = PRESET.model_copy(update={"sae": SaeSource(path=config.parent)})
    _, run = as_planned("tokens", given, made.runtime)
    assert [one.name for one in run.made] == [
        "texts",
        "activations",
        "reviews",
        "postings",
        "index",
    ]
    theirs: TokenIndex = open_artifact(run.made[-1].artifact, run.store)
    np.testing.assert_array_equal(theirs.column("count"), index.column("count"))


ASKS = (
    ("features",), ("feature", "{f}"), ("top", "{f}"), ("top", "{f}", "--one-per-review"),
    ("strata", "{f}"), ("reviews", "{f}"), ("review", "review-1-000003"), ("coactive", "{f}"),
    ("both", "{f}", "--and", "{g}"), ("both", "{f}", "--and-not", "{g}", "--within", "3"),
    ("stars",), ("stars", "{f}"), ("all", "{f}"), ("at", "{f}", "3"), ("at", "{f}", "3", "40"),
    ("context", "12", "--before", "3"), ("separating",), ("separating", "2", "4"),
)  # fmt: skip


@pytest.mark.parametrize("words", ASKS, ids=lambda words: "-".join(words).replace("{f}", "F"))
def test_every_question_is_answered(
    made: Run, index: TokenIndex, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    f, g = np.argsort(-index.column("count"))[:2]
    ask, *rest = (word.format(f=f, g=g) for word in words)
    given = ["tokens", ask, "tokens/index", *rest, "--store", str(made.runtime.store)]
    assert main([*given, "--json", "--count", "5"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert found
    if ask == "top":
        assert all(row["active token"] for row in found)
    assert main([*given, "--count", "5"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 2


def test_all_tokens_of_a_feature_are_listed_and_agree_with_each_of_them(
    made: Run, index: TokenIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    f = int(index.column("count").argmax())
    asked = {"all": [f"{f}"], "at": [f"{f}", "0", f"{index.n_tokens}"]}
    told = {}
    for ask, subject in asked.items():
        given = ["tokens", ask, "tokens/index", *subject, "--store", str(made.runtime.store)]
        assert main([*given, "--json"]) == 0
        told[ask] = [
            (row["token"], row["activation"]) for row in json.loads(capsys.readouterr().out)
        ]
    assert len(told["all"]) == index.column("count")[f] > 20
    assert told["all"] == [row for row in told["at"] if row[1]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["top"], "wants the number of a feature"),
        (["at", "3"], "`tokens at` wants FEATURE and TOKEN, or FEATURE, TOKEN and END"),
        (["at", "3", "99999999"], "There are no tokens 99999999 to 100000000: this index has"),
        (["context", "99999999"], "Token 99999999 has no context: this index has"),
        (["separating", "1"], "wants LOW and HIGH, such as 1 5, or nothing"),
        (["top", "9999"], "There is no feature 9999: this index has 128"),
        (["both", "3"], "wants one of --and FEATURE and --and-not FEATURE"),
        (["pages", "three"], "`tokens pages` wants numbers of features, or nothing"),
        (["review", "nobody"], "There is no review 'nobody'"),
    ],
)
def test_a_wrong_question_says_what_is_wanted(
    made: Run, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ask, *rest = words
    store = str(made.runtime.store)
    assert main(["tokens", ask, "tokens/index", *rest, "--store", store]) == 2
    assert told in capsys.readouterr().err


def test_a_plan_of_an_empty_store_goes_as_far_as_can_be_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "written_reviews", "--store", str(tmp_path), "--json"]) == 0
    told = capsys.readouterr().out
    assert "written_reviews/texts" in told
    assert "written_reviews/sae" in told


def test_of_a_file_whose_entries_are_refused_nothing_stays_and_a_corrected_one_is_indexed(
    made: Run, tmp_path: Path
) -> None:
    given = open_artifact(made.made[2].artifact, made.store)
    files = FilesSource(activations=tmp_path / "a.h5", metadata=tmp_path / "m.npz")
    for path, copy in zip(given, (files.activations, files.metadata), strict=True):
        shutil.copyfile(path, copy)
    preset = Preset(files=files, n_features=128)
    runtime = Runtime(store=tmp_path / "store", progress=False)
    with h5py.File(files.activations, "r+") as file:
        sound, file["z_val"][5, 2] = file["z_val"][5, 2], np.nan
    with pytest.raises(BadActivations, match=r"z_val\[5, 2\] is nan, not a finite float32"):
        token_index(preset, runtime)
    store = ArtifactStore(runtime.store)
    assert (list(store.published()), store.drafts()) == ([], [])
    with h5py.File(files.activations, "r+") as file:
        file["z_val"][5, 2] = sound
    run = token_index(preset, runtime)
    told = [(one.name, one.state) for one in run.made]
    assert told == [(name, "Completed") for name in ("reviews", "postings", "index")]
