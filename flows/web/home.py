"""What the routes share: the store as it is now, its pictures, and the files that may be read."""

import os
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from conf.errors import FeaturemillError
from conf.runtime import Runtime
from storage.catalog import Entry
from storage.errors import DamagedArtifact, UnknownArtifact
from storage.home import StoreView
from storage.home.pictures import Pictures
from storage.store import ArtifactStore
from tasks.pages.home.artifacts import reports_of

_FRESH_SECONDS = 1.0
_REPORTS = 9


class Home:
    """One store, looked at anew at most once a second. Thread-safe."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.store = ArtifactStore(runtime.store, create=False)
        self.pictures = Pictures(runtime)
        self._lock = threading.Lock()
        self._view: StoreView | None = None
        self._seen_at = 0.0
        self._reports: dict[str, bool] = {}

    def view(self) -> StoreView:
        """Return the store as it is now, or was a second ago."""
        with self._lock:
            now = time.monotonic()
            if self._view is None or now - self._seen_at > _FRESH_SECONDS:
                self._view, self._seen_at = StoreView.of(self.store), now
            return self._view

    def reports(self) -> list[Entry]:
        """Return the newest artifacts that hold pages."""
        return list(islice(self._with_reports(), _REPORTS))

    def _with_reports(self) -> Iterator[Entry]:
        view = self.view()
        for entry in view.entries:
            if entry.key not in self._reports:  # what is published never changes
                try:
                    self._reports[entry.key] = bool(reports_of(view.manifest(entry.key)))
                except FeaturemillError:  # damaged, or gone a moment ago
                    continue
            if self._reports[entry.key]:
                yield entry

    def file(self, key: str, name: str) -> Path:
        """Return the path of a file of a published artifact.

        Only names that the manifest lists are files, and only where they lie in the artifact's own
        directory, with no link on the way. Raises UnknownArtifact, DamagedArtifact.
        """
        manifest = self.view().manifest(key)
        if name not in manifest.files:
            raise UnknownArtifact(f"{manifest.key} has no file {name!r}; its page lists them all.")
        folder = os.path.realpath(self.store.folder(manifest.key))
        inside = os.path.realpath(os.path.join(self.store.path, "published"))
        path = os.path.join(folder, *name.split("/"))
        if os.path.realpath(path) != path or not folder.startswith(os.path.join(inside, "")):
            raise DamagedArtifact(f"{name} of {manifest.key} is a link that leads elsewhere.")
        if problem := manifest.files[name].problem(Path(path), rehash=False):
            raise DamagedArtifact(
                f"{name} of {manifest.key}: {problem}. `featuremill verify` quarantines it."
            )
        return Path(path)
