"""docs/cli.md tells every verb, flag, exit code and variable that there is.

What a capability adds may stand on a page of its own, docs/cli/<verb>.md.
"""

import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import conf.errors
import storage.errors
import tasks.checkpoint
from conf.errors import FeaturemillError
from flows import cli

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "docs" / "cli.md", *sorted((ROOT / "docs" / "cli").glob("*.md"))]
PAGE = "\n".join(page.read_text() for page in PAGES)
VERBS = [found.name for found in pkgutil.iter_modules(cli.__path__)]
WORDS = set(re.findall(r"[\w.-]+", PAGE))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_told(verb: str) -> None:
    assert re.search(rf"^\| `{verb}\b", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_of_a_verb_is_told(verb: str) -> None:
    flags = {flag for action in cli.verb_parser(verb)._actions for flag in action.option_strings}
    assert {"--json", "--store", "--models"} <= flags
    assert not {flag for flag in flags if flag.startswith("--")} - WORDS


def errors(family: type[FeaturemillError]) -> Iterator[type[FeaturemillError]]:
    yield family
    for child in family.__subclasses__():
        yield from errors(child)


def test_every_exit_code_is_told() -> None:
    assert {conf.errors, storage.errors, tasks.checkpoint}  # their errors are known once imported
    codes = {error.exit_code for error in errors(FeaturemillError)}
    codes |= {value for name, value in vars(cli).items() if name.isupper() and type(value) is int}
    told = set(map(int, re.findall(r"^\| (\d+) \|", PAGE, flags=re.MULTILINE)))
    assert codes == told


def test_every_variable_is_told() -> None:
    code = [
        path.read_text()
        for floor in ("conf", "storage", "tasks", "flows")
        for path in (ROOT / floor).rglob("*.py")
    ]
    named = set(re.findall(r"FEATUREMILL_[A-Z_]+", "\n".join(code)))
    assert named
    assert not named - WORDS


def test_every_field_of_the_runtime_that_the_page_names_is_one() -> None:
    from conf.runtime import Runtime

    named = set(re.findall(r"runtime\.([a-z_]+)", PAGE.replace("conf/runtime.py", "")))
    assert named <= Runtime.model_fields.keys()
