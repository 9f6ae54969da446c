"""Flow `projection` and verb `project`: what a map leaves, what is reused, what is refused."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prefect.settings import PREFECT_API_URL
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from conf.load import LoadedPreset
from conf.projection import MapSettings, PcaMethod, Preset, TsneMethod, VectorSource
from conf.runtime import Runtime
from conf.sources.digits import Source as Digits
from flows.cli import main
from flows.deployed import run_loaded
from flows.planning import Plan, plan
from flows.projection import projection
from flows.run import Run
from storage.open import open_artifact
from storage.projection import MapFiles
from storage.runs import Runs
from storage.store import ArtifactStore
from tasks.projection.torch_files import write_tensor

pytestmark = pytest.mark.usefixtures("prefect_harness")
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Return a foreign cache folder of 300 digits."""
    folder = tmp_path / "X_digits" / "test" / "seed1"
    folder.mkdir(parents=True)
    digits = load_digits()
    write_tensor(folder / "embeddings.pt", digits.data[:300].astype(np.float32))
    write_tensor(folder / "labels.pt", digits.target[:300].astype(np.int64))
    write_words(folder, [f"digit {label}" for label in digits.target[:300]])
    return folder


def write_words(folder: Path, words: list[str]) -> None:
    labels = load_digits().target[: len(words)]
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "ground_truth_num_label", "ground_truth_word_label"])
        writer.writerows((f"{at}.png", labels[at], word) for at, word in enumerate(words))


def states(folder: Path, preset: Preset, runtime: Runtime) -> dict[str, str]:
    run = projection(preset.model_copy(update={"overwrite": True}), runtime)
    assert (folder / "vis_tsne.html").is_file()
    return {made.name: made.state for made in run.made}


def _dies(*_: object) -> None:
    raise MemoryError


def test_a_killed_map_keeps_its_graph_other_labels_draw_none_and_it_names_digits_like_the_features(
    cache: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = MapSettings(methods=(TsneMethod(),), pca_dim=30)
    preset = Preset(vectors=VectorSource(path=cache), map=settings)
    with monkeypatch.context() as dying:
        dying.setattr("tasks.projection.making.embed", _dies)
        with pytest.raises(MemoryError):
            states(cache, preset, runtime)
    first = states(cache, preset, runtime)
    kept = {name for name, state in first.items() if state == "Cached"}
    assert kept == {"components", "tsne-graph"}
    assert set(first.values()) == {"Cached", "Completed"}
    assert set(states(cache, preset, runtime).values()) == {"Cached"}
    write_words(cache, [HOSTILE] * 300)
    redone = states(cache, preset, runtime)
    assert {name for name, state in redone.items() if state == "Completed"} == {
        "diagnostics",
        "tsne-page",
    }
    page = (cache / "vis_tsne.html").read_text()
    assert HOSTILE not in page
    assert "order" in page.lower()

    coords = np.load(cache / "vis_tsne_coords.npy", allow_pickle=False)
    assert (coords.shape, coords.dtype) == ((300, 2), np.float32)
    vectors, labels = load_digits().data[:300], load_digits().target[:300]
    known, asked = np.arange(0, 300, 2), np.arange(1, 300, 2)
    judged = [
        KNeighborsClassifier(5).fit(rows[known], labels[known]).score(rows[asked], labels[asked])
        for rows in (coords, vectors)
    ]
    assert judged[0] >= 0.9 * judged[1]


def test_seeds_are_compared_and_a_map_can_be_extended_and_drawn_again(
    cache: Path, runtime: Runtime, tmp_path: Path
) -> None:
    words = ["project", "--vectors", str(tmp_path / "old.npy"), "--tsne", "--perplexity", "15"]
    place = ["--store", str(runtime.store), "--json"]
    vectors = load_digits().data[:150].astype(np.float32)
    np.save(tmp_path / "old.npy", vectors[:120])
    np.save(tmp_path / "new.npy", vectors)
    assert main([*words, "--seeds", "2", *place]) == 0
    coords = np.load(tmp_path / "vis_tsne_coords.npy")
    grown = ["--vectors", str(tmp_path / "new.npy"), "--parent", "projection/tsne", *place]
    assert main(["project", "extend", *grown, "--out_prefix", "more"]) == 0
    extended = np.load(tmp_path / "more_tsne_coords.npy")
    assert (extended[:120] == coords).all()
    assert np.isfinite(extended).all()
    assert main(["project", "refit", *grown, "--out-prefix", "again"]) == 0
    again = np.load(tmp_path / "again_tsne_coords.npy")
    assert np.corrcoef(again[:120, 0], coords[:, 0])[0, 1] > 0.8


def test_outputs_are_not_written_over_in_either_spelling_of_the_flags(
    cache: Path, runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["project", "--pca", "--out_prefix", "vis", "--store", str(runtime.store)]
    assert main([*words, "--cache_dir", str(cache), "--pca_dim", "10", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    names = [made["name"] for made in told["artifacts"]]
    assert names == ["components", "pca", "pca-trust", "nearest", "diagnostics", "pca-page"]
    assert main([*words, "--cache-dir", str(cache), "--pca-dim", "10"]) == 2
    refused = capsys.readouterr().err
    assert "vis_pca_coords.npy, vis_pca.html in" in refused
    assert "would be written over. Say --overwrite" in refused
    assert main([*words, "--cache-dir", str(cache), "--overwrite", "--json"]) == 0


def test_features_by_name_find_their_pictures_and_are_coloured_by_labels_of_the_same_contents(
    own_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["project", "--artifact", "small/features", "--pca", "--store", str(own_store)]
    assert main([*words, "--columns", "small/features"]) == 2
    assert "has no columns to colour a map by" in capsys.readouterr().err
    labels = ["--columns", "small/labels", "--json", "--out", str(tmp_path / "maps")]
    assert main([*words, *labels]) == 0
    bare = _page_rows(own_store)
    assert "image" not in bare
    known = open_artifact("small/labels", own_store).query("rank == 1")["label"]
    assert bare["image-labels: label"].value_counts().to_dict() == known.value_counts().to_dict()
    dataset = ArtifactStore(own_store).resolve("small/dataset").key
    runs = Runs(own_store)
    with runs.recording("x", "images", {"source": Digits(limit=12).model_dump()}, {}) as record:
        runs.end(record, [{"key": dataset}])
    capsys.readouterr()
    assert main([*words, *labels, "--overwrite"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert _page_rows(own_store)["image"].notna().all()
    states = {made["name"]: made["state"] for made in again["artifacts"]}
    assert [name for name, state in states.items() if state != "Cached"] == ["pca-page"]


def _page_rows(store: Path) -> pd.DataFrame:
    found = ArtifactStore(store)
    return MapFiles(found, found.resolve("projection/pca-page")).table("atlas.parquet")


def test_columns_of_vectors_without_contents_are_refused(
    own_store: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["project", "--cache_dir", str(cache), "--columns", "small/labels"]
    assert main([*words, "--store", str(own_store)]) == 2
    assert "X_digits/test/seed1 do not tell: map features by --artifact" in capsys.readouterr().err


def test_a_table_of_names_that_is_not_there_is_told_before_anything_is_made(
    tmp_path: Path, runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "some.npy", np.eye(4, dtype=np.float32))
    words = ["project", "--vectors", str(tmp_path / "some.npy"), "--names", "nowhere.csv"]
    assert main([*words, "--store", str(runtime.store)]) != 0
    assert "nowhere.csv: the names of rows are a CSV or Parquet table" in capsys.readouterr().err
    assert not ArtifactStore(runtime.store).published()


def test_a_map_says_in_words_how_it_was_made(cache: Path, runtime: Runtime) -> None:
    preset = Preset(vectors=VectorSource(path=cache), map=MapSettings(methods=(PcaMethod(),)))
    run: Run = projection(preset, runtime)
    drawn = next(made.artifact for made in run.made if made.name == "pca")
    assert MapFiles(run.store, drawn).facts["method"] == "the first two of 50 principal components"


def test_a_plan_says_which_parts_of_a_map_are_made_and_writes_nothing(
    cache: Path, runtime: Runtime, check_plan: Callable[[Plan, Run], None]
) -> None:
    maps = MapSettings(methods=(PcaMethod(),))
    preset = Preset(vectors=VectorSource(path=cache, images=cache), map=maps, overwrite=True)
    asked, seen = LoadedPreset("mine", "projection", "", preset, runtime), list[set[str]]()
    for words in (None, None, [HOSTILE] * 300):
        if words:
            write_words(cache, words)
        before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
        foreseen = plan(asked, runtime)
        assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before
        check_plan(foreseen, run_loaded(asked))
        made = [one for one in foreseen.artifacts if one.state != "reuse"]
        seen.append({one.name.partition("/")[2] for one in made})
    every = {"components", "pca", "pca-trust", "nearest", "diagnostics", "pca-page"}
    assert seen == [every, set(), {"diagnostics", "pca-page"}]


def test_what_maps_of_two_methods_share_is_planned_once(cache: Path, runtime: Runtime) -> None:
    maps = MapSettings(methods=(PcaMethod(), TsneMethod()))
    asked = Preset(vectors=VectorSource(path=cache), map=maps)
    foreseen = plan(LoadedPreset("mine", "projection", "", asked, runtime), runtime)
    names = [one.name.partition("/")[2] for one in foreseen.artifacts]
    assert names == [
        "components", "pca", "pca-trust", "nearest", "diagnostics", "pca-page",
        "tsne-graph", "tsne", "tsne-trust", "tsne-page",
    ]  # fmt: skip


_CACHED = """
import contextlib, io, json, sys
from flows.cli import main
out = io.StringIO()
with contextlib.redirect_stdout(out):
    code = main(sys.argv[1:])
heavy = {"torch", "scipy", "umap", "openTSNE", "pacmap", "sklearn", "numba", "plotly"}
states = sorted({made["state"] for made in json.loads(out.getvalue())["artifacts"]})
print(json.dumps([code, states, sorted(heavy & set(sys.modules))]))
"""


def test_a_cached_run_of_maps_with_pictures_imports_no_heavy_library(
    cache: Path, runtime: Runtime
) -> None:
    words = ["project", "--cache_dir", str(cache), "--images", str(cache), "--tsne", "--overwrite"]
    words += ["--store", str(runtime.store), "--json"]
    assert main(words) == 0
    own = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())}  # no server has to start
    told = subprocess.check_output([sys.executable, "-c", _CACHED, *words], text=True, env=own)
    assert json.loads(told.splitlines()[-1]) == [0, ["Cached"], []]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["project", "--umap"], "needs one of --cache_dir"),
        (["project", "--vectors", "a.npy", "--artifact", "b"], "got 2 of them"),
        (["project", "--cache_dir", "nowhere"], "There is no folder nowhere"),
        (["project", "extend", "--vectors", "a.npy"], "project extend needs --parent"),
        (["project", "--vectors", "a.npy", "--parent", "x"], "--parent belongs to"),
        (["project", "cache"], "project cache needs --artifact"),
        (["project", "--vectors", "a.npy", "--perplexity", "0.1", "--tsne"], "perplexity"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_is_made(
    words: list[str], said: str, runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--store", str(runtime.store)]) == 2
    assert said in capsys.readouterr().err
    assert not runtime.store.exists()
