"""The images that a batch JSON lists; a row's uri is its photo_id."""

import os
from pathlib import Path
from typing import Any

from conf.sources.photo_batch import Source
from storage.photos.batches import plain, read_batch
from storage.readers.files import Fence, path_of, read_file, require, stamp_file
from storage.readers.formats import IMAGE_FORMATS
from storage.readers.protocol import Entry, Stamp, Unreadable


def open_source(spec: Source, roots: tuple[Path, ...]) -> "BatchRows":
    """Return the images of the batch; raises SourceMissing and BatchInvalid."""
    path = require(spec.path, "batch of photos", is_folder=False)
    return BatchRows(spec, plain(read_batch(path)), spec.base or path.parent, roots)


class BatchRows:
    """The images of a batch. One that cannot be read is a row that failed."""

    formats = IMAGE_FORMATS
    skipped: tuple[str, ...] = ()

    def __init__(
        self, spec: Source, batch: dict[str, Any], base: Path, roots: tuple[Path, ...]
    ) -> None:
        self._limit = spec.limit
        self._places = BatchPlaces(base, roots)
        field = "std_uri" if spec.image == "standard" else "original_uri"
        self._uris = {photo["photo_id"]: photo.get(field) for photo in batch["artifacts"]}

    def entries(self) -> list[Entry]:
        """Return a row for each photo_id, in the order of the batch."""
        return [self._entry(photo_id) for photo_id in self._uris][: self._limit]

    def _entry(self, photo_id: str) -> Entry:
        try:
            return Entry(photo_id, stamp=self.stamp(photo_id))
        except Unreadable as error:
            return Entry(photo_id, problem=error.reason)

    def stamp(self, uri: str) -> Stamp:
        """Return the stamp of a photo's image as it is now; raises Unreadable."""
        return stamp_file(self._path(uri))

    def read(self, uri: str, *, first_bytes: int | None = None) -> bytes:
        """Return the bytes of a photo's image; raises Unreadable."""
        return read_file(self._path(uri), first_bytes)

    def _path(self, photo_id: str) -> str:
        uri = self._uris[photo_id]
        if not uri:
            raise Unreadable("no std_uri: the photo was not preprocessed")
        return self._places.path(uri)


class BatchPlaces:
    """Where the uris of a batch lead: below its base or the configured roots."""

    def __init__(self, base: Path, roots: tuple[Path, ...]) -> None:
        self._base = os.path.abspath(base)
        self._fence = Fence(base, *roots)

    def path(self, uri: str) -> str:
        """Return the path that `uri` names; raises Unreadable when it leads outside."""
        if "\0" in uri:
            raise Unreadable("not a path: the name cannot be that of a file")
        literal = os.path.normpath(os.path.join(self._base, uri))
        named = os.path.normpath(os.path.join(self._base, path_of(uri)))
        return self._fence.resolve(literal if os.path.lexists(literal) else named)
