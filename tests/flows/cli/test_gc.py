"""Verbs `tag`, `gc`, `resume` and `ls --runs`: names, what may go, and runs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from conf.images import Preset
from conf.load import load_preset
from flows.cli import main
from storage.runs import Runs
from storage.store import ArtifactStore


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def store(own_store: Path) -> ArtifactStore:
    return ArtifactStore(own_store)


def forget_names(store: ArtifactStore) -> None:
    for name in store.refs.all():
        store.refs.remove(name)


def test_a_tag_keeps_an_artifact_and_what_it_was_made_of(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tag", "small/labels", "paper/table-1"]) == 0
    assert capsys.readouterr().out.startswith("paper/table-1 means image-labels-v")
    labels = store.refs.all()["paper/table-1"]
    for name in store.refs.all():
        if name.startswith("small/"):
            main(["tag", "--remove", name])
    capsys.readouterr()
    assert main(["tag", "--json"]) == 0
    assert said(capsys) == {"paper/table-1": labels}
    assert main(["gc"]) == 0
    assert "Everything in the store has a name" in capsys.readouterr().out


def test_a_dry_run_removes_nothing_and_names_the_next_step(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    forget_names(store)
    before = store.published()
    assert main(["gc"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^4 could go, .* kB\. To remove them: featuremill gc --delete$", out, re.M)
    assert store.published() == before


@pytest.mark.parametrize("wrong", [["--keep", "-1"], ["--draft-days", "-0.5"]])
def test_a_negative_number_is_refused(
    wrong: list[str], store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gc", *wrong]) == 2
    assert "neither can be negative" in capsys.readouterr().err


def test_delete_removes_what_the_dry_run_listed(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    forget_names(store)
    main(["gc", "--json"])
    listed = said(capsys)
    assert main(["gc", "--delete", "--json"]) == 0
    removed = said(capsys)
    assert listed | {"removed": True} == removed
    assert removed["freed_bytes"] > 0
    assert not store.published()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["tag", "small/labels"], "lacks the name to give. Write: featuremill tag small/labels"),
        (["tag", "--remove", "small/label"], "Did you mean 'small/labels'?"),
        (["tag", "small/lables", "mine"], "Did you mean 'small/labels'?"),
        (["tag", "small/labels", "../mine"], "is not a name for an artifact"),
        (
            ["resume", "digits"],
            "No run named 'digits' waits to be ended. None does: `featuremill ls --runs`.",
        ),
    ],
)
def test_what_cannot_be_done_is_told(
    store: ArtifactStore, words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) in {1, 2}
    assert text in capsys.readouterr().err


def test_nothing_to_resume_is_no_error(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["resume"]) == 0
    assert "Nothing to go on with" in capsys.readouterr().out


@pytest.mark.usefixtures("prefect_harness")
def test_a_run_that_was_killed_is_listed_and_gone_on_with(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["source.limit=6", "model.family=toy", "runtime.progress=false"]
    preset = load_preset("digits", settings)
    assert isinstance(preset.settings, Preset)
    runtime = preset.runtime.model_copy(update={"store": store.path})
    asked, given = (model.model_dump(mode="json") for model in (preset.settings, runtime))
    with (
        pytest.raises(InterruptedError),
        Runs(store.path).recording("digits", "images", asked, given),
    ):
        raise InterruptedError
    main(["ls", "--runs"])
    out = capsys.readouterr().out
    assert re.search(r"^digits .* interrupted$", out, re.M)
    assert "To go on with the last that was interrupted: featuremill resume" in out
    assert main(["resume"]) == 0
    assert "digits/features" in capsys.readouterr().out
    main(["ls", "--runs", "--json"])
    assert [(run["name"], run["outcome"]) for run in said(capsys)] == [
        ("digits", "completed"),
        ("digits", "interrupted"),
    ]
    assert main(["resume"]) == 0
    assert "Nothing to go on with" in capsys.readouterr().out
