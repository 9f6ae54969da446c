import json
from pathlib import Path

import pytest

from conf.keys import ArtifactKey
from storage.parts import Marker, marker_path, part_name, sealed, sweep, writing

KEY = ArtifactKey("image-features", 1, "0" * 16)
NAME = part_name(KEY, 0)


def make_part(parts: Path, name: str = NAME, rows: tuple[str, ...] = ("a", "b")) -> Marker:
    with writing(parts, KEY, name, rows) as writer:
        (writer.folder / "features.h5").write_bytes(b"features")
    (marker,) = (marker for marker in sealed(parts, KEY) if marker.part == name)
    return marker


def test_a_part_bears_the_key_of_its_artifact() -> None:
    assert NAME == "image-features-v1-0000000000000000.00000"


def test_a_sealed_part_has_its_files_and_a_marker_of_its_rows(tmp_path: Path) -> None:
    marker = make_part(tmp_path)
    assert (marker.key, marker.part, marker.rows) == (str(KEY), NAME, ("a", "b"))
    assert (tmp_path / NAME / "features.h5").read_bytes() == b"features"
    assert marker.problem(tmp_path) is None


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with writing(tmp_path, KEY, NAME, ["a"]) as writer:
            (writer.folder / "features.h5").write_bytes(b"half")
            raise ValueError("flat image")

    with pytest.raises(ValueError, match="flat image"):
        fail()
    assert [*tmp_path.iterdir()] == []


def test_a_part_without_a_marker_does_not_exist_and_is_made_again(tmp_path: Path) -> None:
    make_part(tmp_path)
    marker_path(tmp_path, NAME).unlink()
    assert [*sealed(tmp_path, KEY)] == []
    assert make_part(tmp_path).problem(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"key": 1, "files": 2}'])
def test_a_torn_marker_is_none(tmp_path: Path, text: str) -> None:
    make_part(tmp_path)
    marker_path(tmp_path, NAME).write_text(text)
    assert Marker.read(marker_path(tmp_path, NAME)) is None


@pytest.mark.parametrize(
    ("field", "value"), [("key", "image-features-v1-1111111111111111"), ("part", "another")]
)
def test_the_marker_of_something_else_seals_nothing(tmp_path: Path, field: str, value: str) -> None:
    make_part(tmp_path)
    path = marker_path(tmp_path, NAME)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {field: value}))
    assert [*sealed(tmp_path, KEY)] == []


def test_a_stranger_among_the_files_is_a_problem(tmp_path: Path) -> None:
    marker = make_part(tmp_path)
    (tmp_path / NAME / "stranger").touch()
    assert marker.problem(tmp_path) == f"{NAME} holds ['stranger'], never sealed"


def test_sweeping_leaves_only_what_is_sealed(tmp_path: Path) -> None:
    make_part(tmp_path)
    kept = {path.name for path in tmp_path.iterdir()}
    (tmp_path / part_name(KEY, 1)).mkdir()
    (tmp_path / f".{part_name(KEY, 2)}.0badcafe.tmp").mkdir()
    (tmp_path / f".{NAME}.json.0badcafe.tmp").touch()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_parts_are_listed_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = [part_name(KEY, number) for number in (10, 2, 1)]
    for name in names:
        make_part(tmp_path, name)
    assert [marker.part for marker in sealed(tmp_path, KEY)] == sorted(names)
