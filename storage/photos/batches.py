"""Batches of photos as JSON: what others wrote is kept, to the text of its numbers."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from conf.errors import RecipeError
from conf.photos import Batch
from storage.atomic import write_file

Tree = dict[str, Any]
MAX_BATCH_BYTES = 1 << 28  # 256 MiB


class BatchInvalid(RecipeError):
    """A batch is not one: not JSON, or fields that do not fit."""


_MARK = uuid4().hex
"""Tells a number from a text that looks like one: no file can hold it."""
_MARKED = re.compile(f'"{_MARK}([^"]*)"')


def _as_written(number: str) -> str:
    """Return a number as a text that `dump` writes as it was: `1.10` and `64` stay so."""
    return _MARK + number


def read_batch(path: Path) -> Tree:
    """Return the batch in the file `path`, its numbers as they were written.

    Raises BatchInvalid with every field that does not fit.
    """
    try:
        if path.stat().st_size > MAX_BATCH_BYTES:
            raise BatchInvalid(f"{path} is larger than {MAX_BATCH_BYTES >> 20} MiB: no batch is.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise BatchInvalid(f"{path} cannot be read as a batch: {problem}.") from problem
    return parse_batch(text, str(path))


def parse_batch(text: str, place: str = "batch") -> Tree:
    """Return the batch that `text` spells; raises BatchInvalid."""
    try:
        tree = json.loads(
            text,
            parse_float=_as_written,
            parse_int=_as_written,
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_twins,
        )
        told = plain(tree)
    except (ValueError, RecursionError) as problem:
        raise BatchInvalid(f"{place} is not JSON: {problem}.") from None
    check_batch(told, place)
    return dict(tree)


def check_batch(content: Any, place: str = "batch") -> None:
    """Raise BatchInvalid with every field of `content` that does not fit a batch."""
    try:
        Batch.model_validate(content, strict=True)
    except ValidationError as errors:
        faults = [
            f"{place}: {'.'.join(map(str, e['loc']))}: {e['msg']}, got {str(e['input'])[:80]!r}"
            for e in errors.errors(include_url=False)[:20]
        ]
        raise BatchInvalid(
            "\n".join(
                [*faults, "A batch is {batch_id, artifacts: [{photo_id, original_uri, ...}]}."]
            )
        ) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _without_twins(pairs: list[tuple[str, Any]]) -> Tree:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names a field twice")
    return found


def plain(tree: Any) -> Any:
    """Return a copy of `tree` with numbers for their texts."""
    return json.loads(_text(tree))


def dump(batch: Tree) -> str:
    """Return the JSON text of `batch`, a line a photo; numbers that were read as they were written.

    Raises ValueError for NaN and infinities.
    """
    fields = [f"{_text(name)}: {_field(value)}" for name, value in batch.items()]
    return "{\n " + ",\n ".join(fields) + "\n}\n"


def _field(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n  " + ",\n  ".join(map(_text, value)) + "\n ]"
    return _text(value)


def _text(tree: Any) -> str:
    return _MARKED.sub(r"\1", json.dumps(tree, ensure_ascii=False, allow_nan=False))


def write_batch(path: Path, tree: Tree) -> bool:
    """Replace `path` by the text of `tree`, in one step; return whether it had another content."""
    return write_if_other(path, _bytes(tree))


def holds(path: Path, tree: Tree) -> bool:
    """Whether `path` is a file with the text of `tree`."""
    return _has(path, _bytes(tree))


def _bytes(tree: Tree) -> bytes:
    return dump(tree).encode("utf-8", "surrogatepass")


def _has(path: Path, data: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def write_if_other(path: Path, data: bytes) -> bool:
    """Replace `path` by `data`, in one step, unless that is what it holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if _has(path, data):
        return False
    write_file(path, data)
    return True
