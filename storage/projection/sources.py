"""Where the pictures of a dataset lie, as the store has it on record."""

from collections.abc import Iterator
from contextlib import suppress

from conf.dataset import SourceSpec, parse_source
from conf.errors import FeaturemillError
from conf.keys import ArtifactKey
from conf.runtime import Runtime
from storage.dataset import ContentReader, open_rows, read_ledger
from storage.dataset.places import located
from storage.runs import Runs
from storage.store import ArtifactStore


def source_on_record(dataset: ArtifactKey, runtime: Runtime) -> SourceSpec | None:
    """Return the source that `dataset` was scanned from, or None where nothing tells it or its
    pictures are no longer there: those of its first content are read."""
    store = ArtifactStore(runtime.store)
    if store.find(dataset) is None:
        return None
    ledger = read_ledger(store.folder(dataset))
    for source in _told(store, dataset, runtime):
        with suppress(FeaturemillError, OSError):
            reader = ContentReader(open_rows(source, runtime.roots), ledger)
            for content in ledger.contents[:1]:
                reader.read(content)
            return source
    return None


def _told(store: ArtifactStore, dataset: ArtifactKey, runtime: Runtime) -> Iterator[SourceSpec]:
    """Yield what the manifest and then the runs say, the newest first."""
    told = store.manifest(dataset).made.get("source")
    with suppress(FeaturemillError, ValueError):
        if isinstance(told, dict):
            yield located(told, runtime)
    for record in Runs(store.path).all():
        given = record.settings.get("source")
        if isinstance(given, dict) and any(
            made["key"] == str(dataset) for made in record.artifacts
        ):
            with suppress(FeaturemillError, ValueError):
                yield parse_source(given)
