"""Presets: TOML files that say what a flow is to make. A wrong field is refused by name.

A preset names its flow; `conf/<flow>.py` holds the class `Preset` that its other fields must fit. Where a
list of texts is wanted, the name of a JSON file that holds it may stand: `vocabulary = "labels.json"`.
"""

import importlib
import json
import pkgutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

import conf
from conf.dataset import SourceSpec
from conf.errors import RecipeError, did_you_mean
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
    """Return the class that the settings of `flow` must fit; raises RecipeError for no such flow."""
    found = {stem: schema for stem, schema in _schemas()}
    if flow not in found:
        raise RecipeError(f"{place}: flow = {flow!r} is no flow. {did_you_mean(flow, found)}")
    return found[flow]


def validate(schema: type[Model], content: Any, place: str) -> Model:
    """Return `content` as an instance of `schema`, strictly; raises RecipeError with every fault."""
    try:
        return schema.model_validate_json(json.dumps(content))
    except ValidationError as errors:
        faults = [_fault(schema, content, error) for error in errors.errors(include_url=False)]
        raise RecipeError("\n".join(f"{place}: {fault}" for fault in faults)) from None


def _schemas() -> Iterator[tuple[str, type[Frozen]]]:
    for found in pkgutil.iter_modules(conf.__path__):
        module = importlib.import_module(f"conf.{found.name}")
        if hasattr(module, "Preset"):
            yield found.name, cast(type[Frozen], module.Preset)


def _find(name: str) -> Path:
    shipped = PRESETS / f"{name}.toml"
    if name.isidentifier() and shipped.is_file():
        return shipped
    path = Path(name).expanduser()
    if path.suffix == ".toml" and path.is_file():
        return path
    known = [path.stem for path in PRESETS.glob("*.toml")]
    raise RecipeError(
        f"There is no preset {name!r}, and no file {path}{'' if path.suffix else '.toml'} either. "
        f"{did_you_mean(name, known)} `featuremill presets` says what each makes."
    )


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise RecipeError(f"{path} is not TOML: {problem}.") from None


def _apply(content: dict[str, Any], change: str) -> None:
    place, equals, text = change.partition("=")
    *sections, field = place.strip().split(".")
    if not equals or not field:
        raise RecipeError(f"--set {change!r} is not section.field=value, such as model.precision=bf16.")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise RecipeError(f"--set {change!r}: {section} is a value here, not a section.")
    content[field] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _with_lists(content: Any, preset: Path, field: str = "") -> Any:
    """Replace the name of a JSON file by the one list of texts that the file holds."""
    if isinstance(content, dict):
        return {name: _with_lists(value, preset, name) for name, value in content.items()}
    if field in {"vocabulary", "templates"} and isinstance(content, str):
        return _list_in(content, preset, field)
    return content


def _list_in(name: str, preset: Path, field: str) -> list[Any]:
    places = [preset.parent / name, HERE / name]
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        looked = " or ".join(str(place.parent) for place in places)
        raise RecipeError(
            f"{preset}: {field} = {name!r} names a JSON file that is not in {looked}. "
            f"Write the list itself, or the name of a file that holds it."
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise RecipeError(f"{path} is not JSON: {problem}.") from None
    lists = [found] if isinstance(found, list) else [v for v in found.values() if type(v) is list]
    if len(lists) != 1:
        raise RecipeError(f"{path} holds {len(lists)} lists; {field} needs a file with one.")
    return cast(list[Any], lists[0])


def _fault(schema: type[BaseModel], content: Any, error: ErrorDetails) -> str:
    place = [str(step) for step in error["loc"]]
    name = ".".join(place)
    if error["type"] == "extra_forbidden":
        known = _fields_at(schema, content, place[:-1])
        return f"{name} is not a field. {did_you_mean(place[-1], known)}"
    if error["type"] == "missing":
        return f"{name} is required and has no default."
    message = error["msg"].removeprefix("Value error, ")
    got = error["input"]
    return f"{name} = {got!r}: {message[:1].lower()}{message[1:]}."


def _fields_at(schema: type[BaseModel], content: Any, place: Sequence[str]) -> list[str]:
    """Return the names that are valid at `place`, followed through nested models and sources."""
    current: type[BaseModel] | None = schema
    for step in place:
        content = content.get(step) if isinstance(content, Mapping) else None
        field = current.model_fields.get(step) if current else None
        current = _model_in(field.annotation, content) if field else current
    return sorted(current.model_fields) if current else []


def _model_in(annotation: Any, content: Any) -> type[BaseModel] | None:
    """Return the model that `annotation` holds; for a source the one that `content` names."""
    candidates = (annotation, *get_args(annotation))
    models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
    if not models:
        return None
    if issubclass(models[0], SourceSpec) and isinstance(content, Mapping):
        module = importlib.import_module(f"conf.sources.{content.get('source')}")
        return cast(type[BaseModel], module.Source)
    return models[0]
