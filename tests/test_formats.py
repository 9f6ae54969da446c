"""Every name that an artifact's files hold stands on the page of its format."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import pyarrow.parquet as pq
import pytest

from conf.images import ImageRecipe
from conf.keys import ArtifactKey
from conf.models import ModelSpec
from storage.catalog import Catalog
from storage.drafts import Making
from storage.kinds import stem_of
from storage.publishing import driving
from storage.store import ArtifactStore

PAGES = Path(__file__).parents[1] / "docs" / "formats"
KINDS = ("dataset", "image-features", "image-labels", "prompt-features")
SPELT = {"float": "float32", "double": "float64", "object": "string"}


def names_on(page: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", (PAGES / f"{page}.md").read_text()))


def lines_on(page: str) -> list[str]:
    return (PAGES / f"{page}.md").read_text().splitlines()


def files_of(store: Path, kind: str) -> Iterator[Path]:
    return store.glob(f"published/{kind}/*/parts/*/*")


def described(file: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, type) of every column, dataset and attribute of a file."""
    if file.suffix == ".parquet":
        schema = pq.read_schema(file)
        yield from (
            (name, str(kind)) for name, kind in zip(schema.names, schema.types, strict=True)
        )
        return
    with h5py.File(file) as opened:
        yield from ((name, type(value).__name__) for name, value in opened.attrs.items())
        found: list[tuple[str, Any]] = []
        opened.visititems(lambda name, node: found.append((name, node)))
        for name, node in found:
            yield name, str(node.dtype)
            yield from ((attribute, "") for attribute in node.attrs)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_names_every_file_of_a_part(small_store: Path, kind: str) -> None:
    files = {path.name for path in files_of(small_store, kind)}
    told = {name.rpartition("/")[2] for name in names_on(stem_of(kind))}
    assert files
    assert files <= told


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_names_every_column_dataset_and_attribute(small_store: Path, kind: str) -> None:
    names = {name for file in files_of(small_store, kind) for name, _ in described(file)}
    assert names
    assert not names - names_on(stem_of(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_gives_the_type_beside_the_name(small_store: Path, kind: str) -> None:
    page = lines_on(stem_of(kind))
    wrong = [
        (name, spelt)
        for file in files_of(small_store, kind)
        for name, found in described(file)
        if (spelt := SPELT.get(found, found))
        and spelt != "str"
        and not any(f"`{name}`" in line and spelt in line for line in page)
    ]
    assert not wrong


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_names_every_field_of_the_recipe_and_every_input(
    small_store: Path, kind: str
) -> None:
    store = ArtifactStore(small_store, create=False)
    (key,) = [key for key in store.published() if key.kind == kind]
    manifest = store.manifest(key)
    assert {*manifest.recipe, *manifest.inputs} <= names_on(stem_of(kind))


def test_a_bias_that_a_model_may_have_is_on_the_page() -> None:
    assert "logit_bias" in names_on("prompts")


# What all artifacts share


def json_files(store: Path) -> dict[str, Path]:
    artifact = next(store.glob("published/image-features/*"))
    return {
        "store.json": store / "store.json",
        "manifest.json": artifact / "manifest.json",
        "a marker": next(artifact.glob("parts/*.json")),
    }


@pytest.mark.parametrize("which", ["store.json", "manifest.json", "a marker"])
def test_the_page_of_the_store_names_every_field(small_store: Path, which: str) -> None:
    content = json.loads(json_files(small_store)[which].read_text())
    names = {*content, *content.get("made", {}), *next(iter(content.get("files", {}).values()), {})}
    assert not names - names_on("store")


def test_the_page_of_the_store_names_every_field_of_a_plan(own_store: Path) -> None:
    recipe = ImageRecipe(model=ModelSpec(family="toy", precision="fp32"))
    making = Making(recipe, {"content": ArtifactKey("content", 1, "0" * 16)}, ("0" * 64,))
    with driving(ArtifactStore(own_store), making) as draft:
        assert draft is not None
        plan = json.loads((draft.path / "plan.json").read_text())
    assert not plan.keys() - names_on("store")


def test_the_page_of_the_store_names_every_place(own_store: Path) -> None:
    store = ArtifactStore(own_store)
    Catalog(store).entries()
    store.quarantine(store.published()[0], "tried")
    page = (PAGES / "store.md").read_text()
    places = [path.name + "/" * path.is_dir() for path in own_store.iterdir()]
    assert len(places) >= 7
    assert [place for place in places if f"`{place}" not in page] == []


@pytest.mark.parametrize("database", ["hashes.sqlite", "catalog.sqlite"])
def test_the_page_of_the_store_names_every_table_and_column(own_store: Path, database: str) -> None:
    Catalog(ArtifactStore(own_store)).entries()
    with closing(sqlite3.connect(own_store / database)) as opened:
        tables = [
            name
            for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        columns = {
            row[1] for table in tables for row in opened.execute(f"PRAGMA table_info({table})")
        }
    assert columns
    assert not {*tables, *columns} - names_on("store")


# The examples on the pages run as they stand, with the plain library.


def example_on(page: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)
    return str(code)


@pytest.mark.parametrize(
    ("page", "place"),
    [
        ("dataset", "published/dataset/*/parts/*.00000"),
        ("images", "published/image-features/*"),
        ("labels", "published/image-labels/*/parts/*.00000"),
        ("prompts", "published/prompt-features/*/parts/*.00000"),
        ("store", "."),
    ],
)
def test_the_example_runs(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, place: str
) -> None:
    code = example_on(page)
    assert not re.search(r"import (conf|storage|tasks|flows)|from (conf|storage|tasks|flows)", code)
    (tmp_path / "featuremill-store").symlink_to(small_store)
    monkeypatch.chdir(next(small_store.glob(place)) if page != "store" else tmp_path)
    given = {"images": [[1.0] * 32]}
    exec(compile(code, f"{page}.md", "exec"), given)
    assert len(given) > 2
