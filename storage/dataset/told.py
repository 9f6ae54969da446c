"""Which source a dataset was scanned from, as manifests and runs have told it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from conf.dataset import SourceSpec, parse_source
from conf.errors import FeaturemillError
from conf.runtime import Runtime
from storage.dataset.places import located
from storage.runs import RunRecord


def told_sources(
    key: str,
    made: Iterable[Mapping[str, Any]],
    runs: Callable[[], Iterable[RunRecord]],
    runtime: Runtime,
    problems: list[str],
) -> Iterator[SourceSpec]:
    """Yield the sources of dataset `key` that what manifests say, `made`, and then `runs` tell.

    Runs are asked for only when no manifest was enough. Why a source that a manifest tells is not
    here joins `problems`.
    """
    for one in made:
        if isinstance(told := one.get("source"), dict):
            try:
                yield located(told, runtime)
            except (FeaturemillError, ValueError) as error:
                problems.append(str(error))
    for record in runs():
        given = record.settings.get("source")
        if isinstance(given, dict) and any(one["key"] == key for one in record.artifacts):
            with suppress(FeaturemillError, ValueError):
                yield parse_source(given)
