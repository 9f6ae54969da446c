"""Presets: TOML files that say what a flow is to make. A wrong field is refused by name.

A preset names its flow; `conf/<flow>.py` holds the class `Preset` that its other fields must fit.
Where a vocabulary or templates are wanted, the name of a JSON file that holds the list may stand:
`vocabulary = "labels.json"`, beside the preset, among those that ship, or in the working directory.
"""

import importlib
import json
import pkgutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json

import conf
from conf.errors import RecipeError, did_you_mean
from conf.faults import fault
from conf.keys import Frozen
from conf.runtime import Runtime

HERE = Path(__file__).parent
PRESETS = HERE / "presets"

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class LoadedPreset:
    """A preset that fits its flow."""

    name: str
    flow: str
    """The stem of the flow: `flows/<flow>.py` runs it."""
    description: str
    settings: Frozen
    """An instance of the Preset of `conf/<flow>.py`."""
    runtime: Runtime
    """Where and how fast, from section `runtime`; it never reaches a key."""


def known_presets() -> dict[str, str]:
    """Return the shipped presets: name to description."""
    found = {path.stem: _parse(path) for path in sorted(PRESETS.glob("*.toml"))}
    return {name: str(content.get("description", "")) for name, content in found.items()}


def load_preset(name: str, changes: Sequence[str] = ()) -> LoadedPreset:
    """Return the preset `name`, a shipped one or the path of a TOML file, with `changes` applied.

    A change is `section.field=value`, the value as TOML or as plain text. Raises RecipeError that
    names the file, the field, what it got and the nearest valid name.
    """
    path = _find(name)
    content = _parse(path)
    for change in changes:
        _apply(content, change)
    flow, description = str(content.pop("flow", "")), str(content.pop("description", ""))
    schema = preset_schema(flow, str(path))
    runtime = validate(Runtime, content.pop("runtime", {}), f"{path} [runtime]")
    settings = validate(schema, _with_lists(content, path), str(path))
    return LoadedPreset(path.stem, flow, description, settings, runtime)


def preset_schema(flow: str, place: str = "preset") -> type[Frozen]:
    """Return the class that the settings of `flow` must fit; raises RecipeError for no flow."""
    stems = [found.name for found in pkgutil.iter_modules(conf.__path__)]
    if flow in stems and (schema := _schema(flow)):
        return schema
    asked = f"flow = {flow!r} is no flow" if flow else "it names no flow"
    flows = [stem for stem in stems if _schema(stem)]
    raise RecipeError(f"{place}: {asked}. {did_you_mean(flow, flows)}")


def validate(schema: type[Model], content: Any, place: str) -> Model:
    """Return `content` as a `schema`, strictly; raises RecipeError with every fault."""
    try:
        # TOML has dates and NaN, for which the standard library's JSON has no text.
        return schema.model_validate_json(to_json(content, inf_nan_mode="constants"), strict=True)
    except ValidationError as errors:
        faults = [fault(schema, content, error) for error in errors.errors(include_url=False)]
        raise RecipeError("\n".join(f"{place}: {fault}" for fault in faults)) from None


def _schema(stem: str) -> type[Frozen] | None:
    found: type[Frozen] | None = getattr(importlib.import_module(f"conf.{stem}"), "Preset", None)
    return found


def _find(name: str) -> Path:
    shipped = PRESETS / f"{name}.toml"
    if name.isidentifier() and shipped.is_file():
        return shipped
    path = Path(name).expanduser()
    if path.suffix == ".toml" and path.is_file():
        return path
    known = [path.stem for path in PRESETS.glob("*.toml")]
    raise RecipeError(
        f"There is no preset {name!r}, and {_why_no_file(path)}. "
        f"{did_you_mean(name, known)} `featuremill presets` says what each makes."
    )


def _why_no_file(path: Path) -> str:
    if path.is_file():
        return f"the name of the file {path} does not end in .toml"
    return f"no file {path}{'' if path.suffix else '.toml'} either"


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise RecipeError(f"{path} is not TOML: {problem}.") from None
    except OSError as problem:
        raise RecipeError(f"{path} cannot be read: {problem.strerror}.") from None


def _apply(content: dict[str, Any], change: str) -> None:
    place, equals, text = change.partition("=")
    *sections, field = place.strip().split(".")
    if not equals or not all((*sections, field)):
        raise RecipeError(
            f"--set {change!r} is not section.field=value, such as model.precision=bf16."
        )
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise RecipeError(f"--set {change!r}: {section} is a value here, not a section.")
    content[field] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return found["value"] if len(found) == 1 else text


def _with_lists(content: Any, preset: Path, field: str = "") -> Any:
    """Replace the name of a JSON file by the one list of texts that the file holds."""
    if isinstance(content, dict):
        return {name: _with_lists(value, preset, name) for name, value in content.items()}
    if field in {"vocabulary", "templates"} and isinstance(content, str):
        return _list_in(content, preset, field)
    return content


def _list_in(name: str, preset: Path, field: str) -> list[Any]:
    places = [preset.parent / name, HERE / name, Path.cwd() / Path(name).expanduser()]
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        looked = ", ".join(dict.fromkeys(str(place.parent) for place in places))
        raise RecipeError(
            f"{preset}: {field} = {name!r} names a JSON file that is in none of {looked}. "
            "Write the list itself, or the name of a file that holds it."
        )
    found = _json_in(path)
    values = list(found.values()) if isinstance(found, dict) else [found]
    lists = [value for value in values if isinstance(value, list)]
    if len(lists) != 1:
        raise RecipeError(f"{path} holds {len(lists)} lists; {field} needs a file with one.")
    return lists[0]


def _json_in(path: Path) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        to_json(found)  # half a character, as in "\ud800", is a text that no file can hold
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise RecipeError(f"{path} is not JSON: {problem}.") from None
    except PydanticSerializationError as problem:
        raise RecipeError(f"{path} holds half a character: {problem}.") from None
    return found
