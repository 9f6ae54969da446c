from typing import Any

import pytest

from conf.keys import ArtifactKey
from storage.catalog import Catalog
from storage.relatives import differences, explain, identity_of, nearest_relative, row_changes


def identity(inputs: dict[str, str] | None = None, version: int = 1, **recipe: Any) -> Any:
    return {"kind": "k", "version": version, "recipe": recipe, "inputs": inputs or {}}


@pytest.mark.parametrize(
    ("new", "old", "said"),
    [
        (identity(top=2), identity(top=5), ["top: 2, was 5"]),
        (identity(top=2), identity(top=2), []),
        (identity(a={"b": "fp16"}), identity(a={"b": "fp32"}), ["a.b: fp16, was fp32"]),
        (identity(version=2), identity(version=1), ["version: 2, was 1"]),
        (identity(a=None), identity(a=1), ["a: none, was 1"]),
        (identity(a=1), identity(), ["a: 1, was not there"]),
        (identity(), identity(a=1), ["a: gone, was 1"]),
        (identity(a=["x", "y"]), identity(a=["x", "z"]), ["a: added y, removed z"]),
        (identity(a=["x", "y"]), identity(a=["y", "x"]), ["a: another order"]),
        (identity(a=("x", "y")), identity(a=["x", "y"]), []),
        (identity(a="0" * 64), identity(a="1" * 64), ["a: 000000000000..., was 111111111111..."]),
        (identity({"in": "x"}), identity({"in": "y"}), ["in: x, was y"]),
        (identity(a=True), identity(a=1), ["a: True, was 1"]),
    ],
)
def test_a_line_for_each_field_that_differs(new: Any, old: Any, said: list[str]) -> None:
    assert differences(new, old) == said


def test_of_a_long_list_three_values_are_told() -> None:
    (line,) = differences(identity(a=list("abcdef")), identity(a=[]))
    assert line == "a: added a, b, c and 3 more"


def test_the_nearest_relative_is_of_the_same_kind_and_has_most_in_common(features: Any) -> None:
    first, second = features.make([1, 2]), features.make([1, 2, 3])
    catalog = Catalog(features.store)
    asked = features.making([1, 2])
    wanted = asked.recipe.identity(asked.inputs)
    found = nearest_relative(catalog, wanted)
    assert found is not None
    assert found.key == first.key
    other = nearest_relative(catalog, wanted, but=[first.key])
    assert other is not None
    assert other.key == second.key
    assert nearest_relative(catalog, wanted | {"kind": "no-such-kind"}) is None


def test_what_is_published_is_explained_by_the_identity_that_made_its_key(features: Any) -> None:
    making = features.making([1])
    features.make([1])
    (entry,) = Catalog(features.store).entries()
    found = identity_of(entry)
    assert not differences(found, making.recipe.identity(making.inputs))
    assert ArtifactKey.of("image-features", 1, found) == making.key


def test_what_differs_in_its_rows_alone_is_explained_by_them(features: Any) -> None:
    first, second = features.make([1]), features.make([2, 3])
    assert explain(Catalog(features.store), second.key, first.key) == ["rows: 2 new, 1 gone"]
    assert explain(Catalog(features.store), first.key, first.key) == []


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ("abc", "abc", []),
        ("abc", "cab", []),
        ("abc", "abcd", ["rows: 1 new"]),
        ("abc", "a", ["rows: 2 gone"]),
        ("abc", "cde", ["rows: 2 new, 2 gone"]),
        ("", "ab", ["rows: 2 new"]),
        ("aab", "bcc", ["rows: 1 new, 1 gone"]),  # rows, not how often each is named
    ],
)
def test_rows_that_came_and_went_are_counted(before: str, now: str, said: list[str]) -> None:
    assert row_changes(before, iter(now)) == said
