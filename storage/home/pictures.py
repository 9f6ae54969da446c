"""The pictures of datasets: found by the sources on record, checked by the ledger, made small."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from io import BytesIO

from conf.dataset import SourceSpec
from conf.errors import FeaturemillError
from conf.runtime import Runtime
from storage.dataset import ContentReader, Ledger, open_rows, read_ledger
from storage.dataset.told import told_sources
from storage.home.view import StoreView
from storage.readers.protocol import Rows

SIDES_PX = {"small": 320, "large": 1280}
_KEPT_PICTURES = 800
_KEPT_DATASETS = 4
_AT_ONCE = 3
"""Images decoded at the same time: each may take hundreds of megabytes."""
_QUALITY = 82


class NoPicture(FeaturemillError):
    """A picture cannot be shown; the text is the reason."""


@dataclass(frozen=True, eq=False)
class _Opened:
    ledger: Ledger
    rows: Rows | None
    reader: ContentReader | None
    max_megapixels: float
    problem: str = ""


def source_of(view: StoreView, key: str, runtime: Runtime) -> SourceSpec:
    """Return the source that a dataset was scanned from, as manifests and runs have told it.

    Raises NoPicture where nothing told it, or where it is not here.
    """
    entries = [view.by_key.get(key), *view.children.get(key, ())]
    made = (entry.made for entry in entries if entry)
    problems: list[str] = []
    found = next(told_sources(key, made, lambda: view.runs, runtime, problems), None)
    if found is None:
        unknown = f"nothing on record says which source {key} was scanned from; its next run does"
        raise NoPicture(problems[-1] if problems else unknown)
    return found


class Pictures:
    """The images of the datasets of one store; what was read last is kept. Thread-safe."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._datasets: OrderedDict[str, _Opened] = OrderedDict()
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(_AT_ONCE)

    def ledger(self, view: StoreView, key: str) -> Ledger:
        """Return the ledger of a published dataset; raises UnknownArtifact, LedgerDamaged."""
        return self._opened(view, key).ledger

    def problem(self, view: StoreView, key: str) -> str:
        """Return why no image of a dataset can be shown; empty where they can."""
        return self._opened(view, key).problem

    def jpeg(self, view: StoreView, key: str, sha256: str, size: str) -> bytes:
        """Return an image of a dataset as a new JPEG, at most `SIDES_PX[size]` long.

        Raises NoPicture with the reason: gone, changed, outside the roots, undecodable.
        """
        at = sha256, size
        with self._lock:
            if at in self._kept:
                self._kept.move_to_end(at)
                return self._kept[at]
        opened = self._opened(view, key)
        with self._turns:
            data = _small(opened, sha256, SIDES_PX[size])
        with self._lock:
            self._kept[at] = data
            while len(self._kept) > _KEPT_PICTURES:
                self._kept.popitem(last=False)
        return data

    def _opened(self, view: StoreView, key: str) -> _Opened:
        with self._lock:
            found = self._datasets.get(key)
            if found is None or found.problem:  # what was not there may be by now
                found = self._datasets[key] = self._open(view, key)
            self._datasets.move_to_end(key)
            while len(self._datasets) > _KEPT_DATASETS:
                self._datasets.popitem(last=False)
            return found

    def _open(self, view: StoreView, key: str) -> _Opened:
        manifest = view.manifest(key)
        if not manifest.key.startswith("dataset-"):
            raise view.store.unknown(key)
        ledger = read_ledger(view.store.folder(manifest.key))
        try:
            spec = source_of(view, key, self._runtime)
            rows = open_rows(spec, self._runtime.roots)
        except (FeaturemillError, OSError) as error:
            return _Opened(ledger, None, None, 0, str(error))
        return _Opened(ledger, rows, ContentReader(rows, ledger), spec.max_megapixels)


def _small(opened: _Opened, sha256: str, side_px: int) -> bytes:
    from storage.readers.pixels import Undecodable, decode

    if opened.reader is None or opened.rows is None:
        raise NoPicture(opened.problem)
    try:
        data = opened.reader.read(sha256)
        formats = opened.rows.formats
        image = decode(data, max_megapixels=opened.max_megapixels, formats=formats)
    except KeyError:
        raise NoPicture("its dataset lists no such content") from None
    except Undecodable as error:
        raise NoPicture(error.reason) from error
    except FeaturemillError as error:
        raise NoPicture(str(error)) from error
    if max(image.size) < side_px // 8:  # a digit of 8 pixels: grown by whole steps, not blurred
        image = image.resize((8 * image.width, 8 * image.height), 0)
    image.thumbnail((side_px, side_px))
    out = BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
