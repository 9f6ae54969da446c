from pathlib import Path

import pytest

from conf.keys import ArtifactKey
from storage.errors import StoreError
from storage.refs import Refs

KEY, OTHER = ArtifactKey("dataset", 1, "0" * 16), ArtifactKey("dataset", 1, "1" * 16)


@pytest.fixture
def refs(tmp_path: Path) -> Refs:
    return Refs(tmp_path / "refs")


def test_a_name_means_what_it_was_last_set_to(refs: Refs) -> None:
    refs.set("demo/photos", KEY)
    refs.set("demo/photos", OTHER)
    assert refs.all() == {"demo/photos": str(OTHER)}


def test_there_are_no_names_at_first(refs: Refs) -> None:
    assert refs.all() == {}
    assert refs.get("demo") is None


@pytest.mark.parametrize(
    "name", ["demo", "demo/photos/more", "other", "", "../refs/demo/photos", "long" * 100]
)
def test_only_what_was_set_means_something(refs: Refs, name: str) -> None:
    refs.set("demo/photos", KEY)
    assert refs.get("demo/photos") == str(KEY)
    assert refs.get(name) is None


@pytest.mark.parametrize(
    "name", ["", "/", "a//b", "../outside", "a/../b", ".hidden", "a/.tmp", "a\nb", "/absolute"]
)
def test_what_is_no_name_is_refused(refs: Refs, name: str) -> None:
    with pytest.raises(StoreError, match="is not a name for an artifact") as told:
        refs.set(name, KEY)
    assert "demo/photo-labels" in str(told.value)


@pytest.mark.parametrize(("first", "second"), [("paper", "paper/one"), ("a/b/c", "a")])
def test_a_name_that_another_is_the_folder_of_is_refused(
    refs: Refs, first: str, second: str
) -> None:
    refs.set(first, KEY)
    with pytest.raises(StoreError, match=f"cannot be a name beside '{first}'.*--remove {first}"):
        refs.set(second, KEY)
    refs.remove(first)
    refs.set(second, OTHER)
    assert refs.all() == {second: str(OTHER)}


def test_the_leftover_of_an_interrupted_write_is_no_name(refs: Refs) -> None:
    refs.set("photos", KEY)
    (refs.root / ".photos.0badcafe.tmp").write_text("half")
    assert refs.all() == {"photos": str(KEY)}
