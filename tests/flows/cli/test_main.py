import argparse
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from conf.errors import FeaturemillError, RecipeError, Stopped, WorldError
from flows import cli
from flows.cli import main, presets


def fails_with(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> int:
    def fail(given: argparse.Namespace) -> int:
        raise problem

    monkeypatch.setattr(presets, "run", fail)
    return main(["presets"])


def test_an_unknown_verb_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verfy"]) == 2
    assert capsys.readouterr() == ("", "featuremill has no verb 'verfy'. Did you mean 'verify'?\n")


def test_a_verb_like_no_other_is_told_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zzzz"]) == 2
    told = capsys.readouterr().err
    assert "'zzzz'. Known are: " in told
    assert "doctor, " in told


def test_without_a_verb_the_verbs_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "usage: featuremill" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["detections", "found", "KEY", "--count", "1", "--json", "IMAGE"],
        ["diff", "--json", "A", "--store", "S", "B"],
        ["losses", "pair", "--count", "1", "KEY", "I", "--json", "J"],
        ["photos", "show", "--out", "DIR", "BATCH", "--json", "PHOTO"],
        ["photos", "--json", "show", "--out", "DIR", "BATCH", "PHOTO"],
        ["project", "--json", "refit", "--parent", "KEY"],
        ["tokens", "both", "--count", "1", "INDEX", "--and", "2", "1"],
        ["why", "KEY", "--json", "THAN"],
        ["photos", "--out", "DIR", "--", "show", "BATCH", "-x.jpg"],
    ],
)
def test_words_may_stand_before_between_and_behind_flags(words: list[str]) -> None:
    given = vars(cli.read_words(words[0], words[1:]))
    said = [str(word) for value in given.values() for word in _listed(value)]
    assert {word for word in words[1:] if not word.startswith("--")} <= set(said)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("words", [["-x"], ["--json", "ls"], ["--", "ls"]])
def test_flags_follow_the_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert f"featuremill has no verb {words[0]!r}" in capsys.readouterr().err


def test_help_tells_what_every_verb_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    for verb in ("doctor", "ls", "models", "presets", "run", "show", "verify"):
        assert f" {verb} " in told


@pytest.mark.parametrize(
    ("problem", "code"),
    [(FeaturemillError, 1), (WorldError, 1), (RecipeError, 2), (Stopped, 130)],
)
def test_an_error_for_the_user_is_its_text_and_its_code(
    problem: type[FeaturemillError],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fails_with(problem("It was the disk."), monkeypatch) == code
    assert capsys.readouterr() == ("", "It was the disk.\n")


def test_notes_of_an_error_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = WorldError("It was the disk.")
    problem.add_note("2 of 3 parts are sealed.")
    fails_with(problem, monkeypatch)
    assert capsys.readouterr().err == "It was the disk.\n2 of 3 parts are sealed.\n"


def test_an_error_that_nobody_wrote_for_the_user_is_not_swallowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ZeroDivisionError):
        fails_with(ZeroDivisionError("ours"), monkeypatch)


def test_the_store_flag_wins_over_the_environment(
    own_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FEATUREMILL_STORE", str(tmp_path / "other"))
    assert main(["ls", "--json", "--store", str(own_store)]) == 0
    assert len(json.loads(capsys.readouterr().out)["artifacts"]) == 4


@pytest.mark.parametrize("verb", [["ls"], ["show", "x"], ["verify"]])
def test_where_there_is_no_store_none_is_made(
    verb: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FEATUREMILL_STORE", str(tmp_path / "none"))
    assert main(verb) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"{tmp_path / 'none'} is no artifact store: it has no store.json.")
    assert "becomes a store with its first run: featuremill run demo." in told
    assert not (tmp_path / "none").exists()


def test_a_store_of_another_format_is_refused(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = own_store / "store.json"
    card.write_text(card.read_text().replace('"format": 1', '"format": 7'))
    assert main(["ls"]) == 1
    told = capsys.readouterr().err
    assert f"{own_store} is a store of format 7, this version reads format 1." in told


IMPORTS = """
import sys
from flows.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
heavy = {"prefect", "torch", "timm", "transformers", "scipy", "sklearn", "skimage"}
print("heavy:", *sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "words", [["--help"], ["presets"], ["ls"], ["show", "small/labels"], ["photos"]]
)
def test_to_look_costs_no_heavy_library(own_store: Path, words: list[str]) -> None:
    told = subprocess.check_output([sys.executable, "-c", IMPORTS, *words], text=True)
    assert told.splitlines()[-1] == "heavy:"


def test_a_reader_that_had_enough_is_no_error(own_store: Path) -> None:
    ended = subprocess.run(
        f"{sys.executable} -c 'from flows.cli import main; raise SystemExit(main())' ls --json"
        " | true; exit ${PIPESTATUS[0]}",
        shell=True,
        executable="/bin/bash",
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_every_verb_is_a_module_that_says_what_it_does() -> None:
    for found in pkgutil.iter_modules(cli.__path__):
        module: ModuleType = importlib.import_module(f"flows.cli.{found.name}")
        assert module.HELP[0].islower()
        assert not module.HELP.endswith(".")
        assert callable(module.run)
        assert callable(module.add_arguments)
