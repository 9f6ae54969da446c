"""What is wrong with a setting, in words: the field, what it got, and the nearest that works."""

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from conf.dataset import SourceSpec
from conf.errors import did_you_mean, nearest

_LONGEST_VALUE = 100


def fault(schema: type[BaseModel], content: Any, error: ErrorDetails) -> str:
    """Return one fault that pydantic found in `content`, a would-be `schema`, as a sentence."""
    place = [str(step) for step in error["loc"]]
    name = ".".join(place)
    if error["type"] == "extra_forbidden":
        known = _fields_at(schema, content, place[:-1])
        return f"{name} is not a field. {did_you_mean(place[-1], known)}"
    if error["type"] == "missing":
        return f"{name} is required and has no default."
    return f"{name}{' = ' * bool(name)}{_shown(error['input'])}: {_message(error)}"


def _shown(got: Any) -> str:
    text = repr(got)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _message(error: ErrorDetails) -> str:
    # A preset has lists and sections; that they become tuples and objects is our affair.
    said = error["msg"].removeprefix("Value error, ").replace("an object", "a section")
    said = said.replace("Tuple", "list")
    sentence = said[:1].lower() + said[1:]
    sentence += "" if sentence.endswith((".", "?")) else "."
    return sentence + _near(error)


def _near(error: ErrorDetails) -> str:
    """Return a hint where one of a few words was wanted and a near one was given."""
    words = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
    close = nearest(error["input"], words) if isinstance(error["input"], str) else None
    return f" Did you mean {close!r}?" if close else ""


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
