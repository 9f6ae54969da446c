"""`featuremill photos`: list batches, show photos."""

import json
from pathlib import Path

import pytest

from flows.cli import DONE, WRONG, main

PHOTO = {
    "photo_id": "a" * 64,
    "original_uri": "./\x1b[2Ja.jpg",
    "duplicates": ["./copy.jpg"],
    "features": {
        "tech": {"sharpness": 0.5, "exposure": 0.25, "noise": None, "clip_iqa": 1, "brisque": 0},
        "clip_labels": [{"label": "sea", "confidence": 0.9, "cosine_score": 0.3}],
    },
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    other = PHOTO | {"photo_id": "b" * 64, "original_uri": "./b.jpg"}
    batch = {"batch_id": "b1", "artifacts": [PHOTO, other], "failed": [{"original_uri": "c"}]}
    (tmp_path / "b1.json").write_text(json.dumps(batch))
    (tmp_path / "b1.html").write_text("")
    (tmp_path / "b1.preprocess.json").write_text(json.dumps(batch))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["photos", *words]) == DONE
    return capsys.readouterr().out


def test_batches_are_listed_with_their_pages(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--out", str(out)) == f"b1: 2 photos, 1 failed; {out / 'b1.html'}\n"
    (row,) = json.loads(said(capsys, "--out", str(out), "--json"))
    assert (row["photos"], row["failed"], row["path"]) == (2, 1, str(out / "b1.json"))


def test_a_folder_without_batches_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "`featuremill run sample_photos` makes one" in said(capsys, "--out", str(tmp_path))


@pytest.mark.parametrize("name", ["aaaa", "copy.jpg", "./copy.jpg"])
def test_a_photo_is_found_by_name_uri_and_the_beginning_of_its_id(
    out: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    found = said(capsys, "show", "b1", name, "--out", str(out), "--json")
    assert json.loads(found)[0] == PHOTO


def test_no_name_steers_the_terminal(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b" not in said(capsys, "show", "b1", "--out", str(out))
    assert "\x1b" not in said(capsys, "show", "b1", "aaaa", "--out", str(out))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show"], "Which batch?"),
        (["show", "b2"], "No batch 'b2' in"),
        (["show", "b1", "bb.jpg"], "No photo 'bb.jpg' in b1."),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    out: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["photos", *words, "--out", str(out)]) == WRONG
    error = capsys.readouterr().err
    assert told in error
    assert "b1" in error
