"""Where the pictures of a dataset lie, as the store has it on record."""

from contextlib import suppress

from conf.dataset import SourceSpec
from conf.errors import FeaturemillError
from conf.keys import ArtifactKey
from conf.runtime import Runtime
from storage.dataset import ContentReader, open_rows, read_ledger
from storage.dataset.told import told_sources
from storage.runs import Runs
from storage.store import ArtifactStore


def source_on_record(dataset: ArtifactKey, runtime: Runtime) -> SourceSpec | None:
    """Return the source that `dataset` was scanned from, or None where nothing tells it or its
    pictures are no longer there: those of its first content are read."""
    store = ArtifactStore(runtime.store)
    if store.find(dataset) is None:
        return None
    ledger = read_ledger(store.folder(dataset))
    made, runs = (store.manifest(dataset).made,), Runs(store.path).all
    for source in told_sources(str(dataset), made, runs, runtime, []):
        with suppress(FeaturemillError, OSError):
            reader = ContentReader(open_rows(source, runtime.roots), ledger)
            for content in ledger.contents[:1]:
                reader.read(content)
            return source
    return None
