"""docs/formats/concepts.md names what the files of a concept store, its texts and scores hold."""

import re
from pathlib import Path

import h5py
import pytest

from storage.concepts import ConceptStore

PAGE = (Path(__file__).parents[3] / "docs" / "formats" / "concepts.md").read_text()
NAMES = set(re.findall(r"`([^`\n]+)`", PAGE))


def names_in(path: Path) -> set[str]:
    found: set[str] = set()
    with h5py.File(path) as file:
        found |= set(file.attrs)

        def visit(name: str, node: h5py.Dataset | h5py.Group) -> None:
            if not re.fullmatch(r"templates(/\w+_t\d\d)?", name):
                found.add(name.rpartition("/")[2])
            found.update(node.attrs)

        file.visititems(visit)
    return found


@pytest.mark.parametrize("kind", ["concept-store", "concept-texts", "concept-scores"])
def test_the_page_names_every_dataset_and_attribute(concept_store: ConceptStore, kind: str) -> None:
    files = list(concept_store.store.path.glob(f"published/{kind}/*/**/*.h5"))
    assert files
    given_by_the_preset = {"dataset"}
    assert not {name for path in files for name in names_in(path)} - NAMES - given_by_the_preset


@pytest.mark.parametrize("kind", ["concept-store", "concept-texts", "concept-scores"])
def test_the_page_names_every_field_of_the_recipe(concept_store: ConceptStore, kind: str) -> None:
    store = concept_store.store
    (key,) = [key for key in store.published() if key.kind == kind]
    assert set(store.manifest(key).recipe) <= NAMES


def test_the_pages_example_runs(
    concept_store: ConceptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(concept_store.path.parent)
    given: dict[str, object] = {}
    exec(compile(code, "concepts.md", "exec"), given)
    assert given["names"] == ["a photo of a loop", "a photo of a stroke"]
