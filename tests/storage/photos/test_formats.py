"""Every column of the photos' and the scores' files stands, with its type, on the page."""

import re
from pathlib import Path
from typing import Any

import pytest

from conf.keys import Recipe
from conf.photos import ExifRecipe, StandardRecipe
from conf.quality import (
    BrisqueRecipe,
    ClipIqaRecipe,
    NoiseRecipe,
    PiqClipIqaRecipe,
    QualityRecipe,
)
from storage.photos import exif_schema, standard_schema
from storage.quality import CHANNELS, quality_schema, score_schema

PAGES = Path(__file__).parents[3] / "docs" / "formats"
SCHEMAS: dict[tuple[str, type[Recipe]], Any] = {
    ("photos", ExifRecipe): exif_schema(),
    ("photos", StandardRecipe): standard_schema(),
    ("quality", QualityRecipe): quality_schema(),
    ("quality", NoiseRecipe): score_schema("sigma"),
    ("quality", BrisqueRecipe): score_schema("brisque", "brisque_raw"),
    ("quality", ClipIqaRecipe): score_schema("clip_iqa", "clip_iqa_raw"),
    ("quality", PiqClipIqaRecipe): score_schema("clip_iqa", "clip_iqa_raw"),
}


def section(page: str, recipe: type[Recipe]) -> str:
    """Return what the page says of the kind in its version."""
    title = f"## `{recipe.kind}`, version {recipe.version}\n"
    text = (PAGES / f"{page}.md").read_text()
    assert title in text
    return text.partition(title)[2].partition("\n## ")[0]


@pytest.mark.parametrize(("page", "recipe"), SCHEMAS)
def test_the_page_names_every_column_with_its_type(page: str, recipe: type[Recipe]) -> None:
    told = section(page, recipe)
    for field in SCHEMAS[page, recipe]:
        lines = [line for line in told.splitlines() if f"`{field.name}`" in line]
        assert lines, field.name
        written = str(field.type).replace("item:", "element:")  # as Parquet files say it
        assert any(written in line for line in lines), field


@pytest.mark.parametrize(("page", "recipe"), SCHEMAS)
def test_the_page_names_every_field_of_the_recipe(page: str, recipe: type[Recipe]) -> None:
    named = set(re.findall(r"`([^`\n]+)`", section(page, recipe)))
    assert set(recipe.model_fields) <= named


def test_a_channel_is_named_in_every_column_of_it() -> None:
    names = [name for name in quality_schema().names if name.startswith(CHANNELS)]
    assert len(names) == 21
