import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from conf.dataset import AnySource, DatasetRecipe, known_sources, parse_source
from conf.errors import RecipeError
from conf.keys import Frozen
from conf.sources import digits, folder


class Preset(Frozen):
    source: AnySource


def test_every_module_of_sources_is_a_source() -> None:
    founding = {"digits", "folder", "npz", "sample_photos", "table"}
    assert founding <= set(known_sources())
    for name in known_sources():
        source = importlib.import_module(f"conf.sources.{name}").Source
        assert source.model_fields["source"].default == name


def test_a_source_is_parsed_into_its_own_class() -> None:
    parsed = parse_source({"source": "folder", "root": "photos", "limit": 3})
    assert parsed == folder.Source(root=Path("photos"), limit=3)


def test_a_field_takes_any_source_and_writes_out_all_its_settings() -> None:
    text = '{"source": {"source": "folder", "root": "photos", "label_from": "folder"}}'
    preset = Preset.model_validate_json(text)
    assert isinstance(preset.source, folder.Source)
    assert preset.model_dump(mode="json") == {
        "source": {
            "source": "folder",
            "root": "photos",
            "limit": None,
            "max_megapixels": 100.0,
            "label_from": "folder",
            "split_from": None,
        }
    }
    assert Preset.model_validate_json(preset.model_dump_json()) == preset


def test_a_parsed_source_is_taken_as_it_is() -> None:
    assert Preset(source=digits.Source()).source == digits.Source()


def test_an_unknown_source_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"no source 'foldr'. Did you mean 'folder'?"):
        parse_source({"source": "foldr"})


def test_a_source_without_a_name_is_told_the_names() -> None:
    with pytest.raises(
        RecipeError, match="no source is named: set source to one of cells, digits, "
    ):
        parse_source({"root": "photos"})


def test_an_unknown_source_in_a_field_keeps_the_place() -> None:
    with pytest.raises(ValidationError, match="there is no source 'digit'") as caught:
        Preset.model_validate_json('{"source": {"source": "digit"}}')
    assert caught.value.errors()[0]["loc"] == ("source",)


def test_a_wrong_setting_keeps_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        Preset.model_validate_json('{"source": {"source": "digits", "limt": 3}}')
    assert caught.value.errors()[0]["loc"] == ("source", "limt")


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": "3"}, {"max_megapixels": 0}])
def test_a_setting_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        parse_source({"source": "digits", **wrong})


def test_the_key_of_a_dataset_is_pinned() -> None:
    recipe = DatasetRecipe(rows_sha256="0" * 64, rows=3)
    assert str(recipe.key()) == "dataset-v1-c666f80a435e9177"


def test_parsing_a_source_imports_no_library_of_arrays() -> None:
    code = (
        "import sys; from conf.dataset import parse_source; parse_source({'source': 'digits'}); "
        "assert not {'numpy', 'PIL', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
