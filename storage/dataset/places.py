"""Where a source lay, said so that it may be published: relative to a root, never absolute.

The roots are those of the runtime, the folder that holds the store, and the home directory, "~".
What lies below none of them is told by its last name alone.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from conf.dataset import SourceSpec, parse_source
from conf.errors import RecipeError
from conf.runtime import Runtime


def rooted(source: SourceSpec, runtime: Runtime) -> dict[str, Any]:
    """Return the settings of `source` as JSON takes them, its paths relative."""
    told = source.model_dump(mode="json")
    return told | {name: _relative(path, runtime) for name, path in _paths(source)}


def located(told: Mapping[str, Any], runtime: Runtime, place: Path | None = None) -> SourceSpec:
    """Return the source that `rooted` told, where it is here; `place` says so where given.

    Raises RecipeError for one that is below no root, with all that were looked in.
    """
    source = parse_source(told)
    paths = dict(_paths(source))
    if place is not None and not paths:
        raise RecipeError(f"The source {source.source!r} lies in no place that could be named.")
    first = next(iter(paths), "")
    given = {} if place is None else {first: place.expanduser()}
    found = {name: _found(source, path, runtime) for name, path in (paths | given).items()}
    return source.model_copy(update=found)


def _paths(source: SourceSpec) -> Iterator[tuple[str, Path]]:
    for name in type(source).model_fields:
        if isinstance(value := getattr(source, name), Path):
            yield name, value


def _roots(runtime: Runtime) -> tuple[Path, ...]:
    return (*runtime.roots, runtime.store.parent)


def _relative(path: Path, runtime: Runtime) -> str:
    whole = path.expanduser().absolute()
    inside = next((root for root in _roots(runtime) if whole.is_relative_to(root)), None)
    if inside is not None:
        return whole.relative_to(inside).as_posix()
    if whole.is_relative_to(Path.home()):
        return (Path("~") / whole.relative_to(Path.home())).as_posix()
    return whole.name


def _found(source: SourceSpec, path: Path, runtime: Runtime) -> Path:
    whole = path.expanduser()
    places = [whole] if whole.is_absolute() else [root / whole for root in _roots(runtime)]
    found = next((one for one in places if one.exists()), None)
    # A medmnist archive's folder may be made by the download.
    if found is not None or whole.is_absolute():
        return found or whole
    raise RecipeError(
        f"The pictures lay in {path} ({source.source}), below a root of the machine that made the "
        f"store. It is not here: looked for {', '.join(map(str, places))}. Say where it is with "
        "--images-in PATH, or name its root in FEATUREMILL_ROOTS."
    )
