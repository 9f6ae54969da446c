"""Which rows: sources of images by name, and the recipe of the ledger that is made of them."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, cast

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, SerializeAsAny
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, to_json

from conf import sources
from conf.errors import RecipeError, did_you_mean
from conf.keys import Frozen, Recipe


class SourceSpec(Frozen):
    """Where rows come from. Every source is a module of `conf/sources` with a class `Source`.

    Nothing here reaches a key: what was found there does, as the dataset's rows.
    """

    source: str
    """The module's name: "folder", "table", "npz", "digits", "sample_photos"."""
    limit: int | None = Field(default=None, ge=1)
    """Take the first so many rows, in the source's order; None takes all."""
    max_megapixels: float = Field(default=100.0, gt=0)
    """Larger images are not decoded; they become rows that failed, with the reason."""


class DatasetRecipe(Recipe):
    """A dataset: its rows and nothing else; a moved or copied folder is the same dataset."""

    kind: ClassVar[str] = "dataset"
    rows_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """The sha256 of the ledger's rows, `Ledger.rows_sha256`."""
    rows: int = Field(ge=0)
    """How many rows there are, failed ones included."""


def known_sources() -> tuple[str, ...]:
    """Return the names of all sources, sorted; none is imported."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(sources.__path__)))


def parse_source(content: Mapping[str, Any] | SourceSpec) -> SourceSpec:
    """Return the settings that `content` spells, of the class that its `source` names.

    Raises RecipeError for a source that is not there and pydantic's ValidationError, with the
    field's name, for a wrong setting.
    """
    if isinstance(content, SourceSpec):
        return content
    name = content.get("source")
    if name not in known_sources():
        raise RecipeError(_unknown_source(name))
    module = importlib.import_module(f"conf.sources.{name}")
    return cast(SourceSpec, module.Source.model_validate_json(to_json(dict(content)), strict=True))


def _unknown_source(name: object) -> str:
    if name is None:
        return f"no source is named: set source to one of {', '.join(known_sources())}."
    return f"there is no source {name!r}. {did_you_mean(str(name), known_sources())}"


def _parse_field(content: object) -> SourceSpec:
    if not isinstance(content, Mapping | SourceSpec):
        raise PydanticCustomError("source_type", 'a source is a table, such as source = "digits"')
    try:
        return parse_source(content)
    except RecipeError as error:
        # Pydantic adds the field's place to its own errors only.
        raise PydanticCustomError("unknown_source", "{text}", {"text": str(error)}) from error


class _SchemaOfAll:
    """Lets a field's JSON schema tell the settings of every source, for those who check by it."""

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return a schema that, of a wrong setting, blames the source that was named."""
        names = known_sources()
        modules = {name: importlib.import_module(f"conf.sources.{name}") for name in names}
        return {
            "type": "object",
            "title": "Source",
            "required": ["source"],
            "properties": {"source": {"type": "string", "enum": list(names)}},
            "allOf": [
                {
                    "if": {"properties": {"source": {"const": name}}},
                    "then": handler(module.Source.__pydantic_core_schema__),
                }
                for name, module in modules.items()
            ],
        }


AnySource = Annotated[SerializeAsAny[SourceSpec], BeforeValidator(_parse_field), _SchemaOfAll()]
"""A field that takes any source, chosen by its `source`, and writes out all its settings."""


class Preset(Frozen):
    """The settings of flow `dataset`: take up what a source holds."""

    source: AnySource
