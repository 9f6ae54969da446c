from pathlib import Path

import pytest

from conf.errors import RecipeError
from conf.runtime import Runtime
from conf.sources.digits import Source as Digits
from conf.sources.folder import Source as Folder
from storage.dataset.places import located, rooted


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("home/cells", "root/cells", "work/cells", "elsewhere/cells"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("root/cells", "cells"),
        ("root", "."),
        ("work/cells", "cells"),
        ("home/cells", "~/cells"),
        ("elsewhere/cells", "cells"),
    ],
)
def test_no_path_is_told_whole(here: Path, place: str, told: str) -> None:
    runtime = Runtime(store=here / "work" / "store", roots=(here / "root",))
    said = rooted(Folder(root=here / place, limit=3), runtime)
    assert (said["root"], said["limit"]) == (told, 3)


@pytest.mark.parametrize("place", ["root/cells", "work/cells", "home/cells"])
def test_what_lies_below_a_root_is_found_again_on_another_machine(here: Path, place: str) -> None:
    runtime = Runtime(store=here / "work" / "store", roots=(here / "root",))
    told = rooted(Folder(root=here / place), runtime)
    other = Runtime(store=here / "home" / "store", roots=((here / place).parent,))
    assert located(told, other) == Folder(root=here / place)


def test_what_is_below_no_root_says_where_was_looked_and_what_to_do(here: Path) -> None:
    runtime = Runtime(store=here / "store", roots=())
    told = rooted(Folder(root=here / "elsewhere" / "cells"), Runtime(store=Path("/nowhere/x")))
    with pytest.raises(RecipeError, match=r"lay in cells \(folder\).*looked for .*--images-in"):
        located(told, runtime)
    place = here / "elsewhere" / "cells"
    assert located(told, runtime, place) == Folder(root=place)


def test_a_source_without_a_place_takes_none(here: Path) -> None:
    told = rooted(Digits(limit=5), Runtime(store=here))
    assert located(told, Runtime(store=here)) == Digits(limit=5)
    with pytest.raises(RecipeError, match="'digits' lies in no place that could be named"):
        located(told, Runtime(store=here), here)
