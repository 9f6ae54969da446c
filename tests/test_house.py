"""The house keeps its own rules: names, sizes, pages, packaging, no word of any machine."""

import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import conf
from conf.keys import Recipe

ROOT = Path(__file__).parents[1]
FLOORS = ("conf", "storage", "tasks", "flows")
FOLDERS = (*FLOORS, "tests", "benchmarks", "notebooks", "docs", "changes", ".ci")
TEXT_SUFFIXES = {"", ".html", ".ipynb", ".json", ".md", ".py", ".toml", ".txt", ".yaml"}
LONGEST_MODULE_LINES = 400
LONGEST_README_LINES = 80
TARGETS = ("setup", "demo", "test", "check", "bench")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def files(*folders: str, suffix: str = "") -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob(f"*{suffix}"))
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def texts() -> Iterator[tuple[str, str]]:
    beside = (path for path in ROOT.iterdir() if path.is_file())
    for path in [*beside, *files(*FOLDERS)]:
        if path.suffix in TEXT_SUFFIXES and path.name != ".git":  # a file in a worktree
            yield str(path.relative_to(ROOT)), path.read_text(errors="replace")


def canonical(requirement: str) -> str:
    return re.split(r"[<>=!~;\[ ]", requirement)[0].lower().replace("_", "-")


def modules_of_conf() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(conf.__path__, "conf."):
        yield importlib.import_module(found.name)


def recipes() -> list[type[Recipe]]:
    """Every recipe that names a kind of its own, in conf."""
    found = [
        value
        for module in modules_of_conf()
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Recipe) and "kind" in vars(value)
    ]
    return sorted({r for r in found if r.__module__.startswith("conf.")}, key=lambda r: r.kind)


# Names and sizes


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in files(*FLOORS, "tests", "benchmarks", suffix=".py")
    }
    too_long = {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE_LINES}
    assert not too_long, "a stem that outgrows a file becomes a folder of that name"


def test_tests_have_no_init_file_for_it_would_shadow_the_floors() -> None:
    assert not files("tests", suffix="__init__.py")


@pytest.mark.parametrize("floor", FLOORS)
def test_each_floor_imports_from_this_repository(floor: str) -> None:
    module = importlib.import_module(floor)
    assert module.__file__ is not None
    assert Path(module.__file__).parent == ROOT / floor


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    places = "|".join(["work", "tmp", "root", "home"])
    a_place = re.compile(rf"(?<![\w.<>}}/-])/({places})/\w")
    found = [f"{name}: {hit[0]}" for name, text in texts() if (hit := a_place.search(text))]
    assert not found


# Pages


def test_the_readme_fits_one_screen() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= LONGEST_README_LINES


def test_the_readme_opens_with_the_two_commands() -> None:
    commands = re.findall(r"^    (make \w+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_target_exists_and_the_readme_names_it(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert f"make {target}" in (ROOT / "README.md").read_text()


def test_every_link_between_the_pages_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *files("docs", "changes", suffix=".md")]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    ]
    broken = [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]
    assert not broken


def test_every_kind_has_a_format_page_of_its_stem_that_names_it() -> None:
    missing = []
    for recipe in recipes():
        page = ROOT / "docs" / "formats" / f"{recipe.__module__.split('.')[1]}.md"
        if not page.exists() or f"`{recipe.kind}`" not in page.read_text():
            missing.append(f"{page.relative_to(ROOT)} does not describe `{recipe.kind}`")
    assert not missing


def test_every_format_page_belongs_to_a_stem_of_storage() -> None:
    pages = {path.stem for path in files("docs/formats", suffix=".md")} - {"README", "store"}
    stems = {path.stem for path in (ROOT / "storage").iterdir()}
    assert pages <= stems


@pytest.mark.parametrize("preset", files("conf/presets", suffix=".toml"), ids=lambda p: p.stem)
def test_every_preset_is_toml(preset: Path) -> None:
    assert tomllib.loads(preset.read_text())


# Packaging


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_constraints_are_names_and_versions_only() -> None:
    pin = re.compile(r"[a-z0-9-]+==[0-9][0-9a-z.]*")
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert not [line for line in lines if line and line[0] != "#" and not pin.fullmatch(line)]


def test_every_direct_dependency_is_pinned() -> None:
    extras = PROJECT["optional-dependencies"].values()
    wanted = [*PROJECT["dependencies"], *(name for extra in extras for name in extra)]
    assert not {canonical(name) for name in wanted} - pins().keys()


def test_make_setup_installs_every_extra_but_ray() -> None:
    said = re.search(r"^EXTRAS := (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert said is not None
    assert set(said.group(1).split(",")) == PROJECT["optional-dependencies"].keys() - {"ray"}


def test_the_wheel_holds_the_four_floors_with_their_data_and_nothing_else(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {*FLOORS, f"featuremill-{PROJECT['version']}.dist-info"}
    assert {str(path.relative_to(ROOT)) for path in files(*FLOORS)} <= names


# Offline


def test_prefect_takes_its_offline_settings_from_pyproject() -> None:
    show = (
        "from prefect.settings import get_current_settings as now; s = now();"
        "print(s.server.analytics_enabled, s.cloud.enable_orchestration_telemetry,"
        " s.telemetry.enable_resource_metrics, s.server.services.task_run_recorder.batch_size)"
    )
    clean = {name: value for name, value in os.environ.items() if "ANALYTICS" not in name}
    told = subprocess.check_output([sys.executable, "-c", show], cwd=ROOT, env=clean, text=True)
    assert told.split() == ["False", "False", "False", "100"]


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "YOLO_OFFLINE", "DO_NOT_TRACK"])
def test_make_and_the_tests_are_offline(variable: str) -> None:
    assert os.environ[variable] in {"1", "true"}
    assert re.search(rf"^export {variable} :=", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("required", "says"),
    [("0", "1 skipped"), ("1", "but this test was skipped. Skipped: no chromi")],
)
def test_a_skipped_browser_test_fails_where_browsers_are_required(
    tmp_path: Path, required: str, says: str
) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = browser\n")
    (tmp_path / "test_page.py").write_text(
        "import pytest\n@pytest.mark.browser\ndef test_page(): raise AssertionError\n"
    )
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=os.environ
        | {"COLUMNS": "200", "PATH": str(tmp_path), "FEATUREMILL_REQUIRE_BROWSER": required},
        capture_output=True,
        text=True,
    )
    assert says in told.stdout
    assert "no chromium and no chromedriver: apt-get install chromium" in told.stdout
    assert told.returncode == int(required)
