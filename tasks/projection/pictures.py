"""The thumbnails of a map's rows: of files that names lead to, or of a dataset's contents."""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING

from conf.dataset import SourceSpec
from conf.errors import WorldError
from conf.keys import ArtifactKey
from conf.projection import VectorSource
from conf.runtime import Runtime
from storage.projection.names import RowNames
from storage.projection.pictures import read_picture
from storage.store import ArtifactStore
from tasks.dataset import open_contents
from tasks.pages.maps.view import Thumbnails

if TYPE_CHECKING:
    from PIL.Image import Image

_THUMBNAIL_PX = 96
_KEPT_BYTES = 256_000_000


def thumbnails_of(
    names: RowNames,
    keys: Mapping[str, ArtifactKey],
    source: VectorSource,
    images: SourceSpec | None,
    runtime: Runtime,
) -> Thumbnails | None:
    """Return what gives the JPEG of a row, drawn once each, or None where rows have no pictures."""
    if source.images is not None and source.path is not None:
        folder = source.images
        return drawn_once(lambda row: read_picture(folder, names.ids[row], runtime.roots))
    contents = names.contents
    if images is None or contents is None or keys["names"].kind != "dataset":
        return None
    found = ArtifactStore(runtime.store).find(keys["names"])
    if found is None:
        return None
    reader = open_contents(found, images, runtime)
    return drawn_once(lambda row: reader.image(str(contents[row])))


def drawn_once(
    read: "Callable[[int], Image | None]", *, kept_bytes: int = _KEPT_BYTES
) -> Thumbnails:
    """Return `read` as small JPEGs, each drawn once: the sample that a page measures, its sheets
    and its table ask for the same ones. Beyond `kept_bytes` they are drawn again."""
    kept: dict[int, bytes | None] = {}
    left = kept_bytes

    def thumbnail(row: int) -> bytes | None:
        nonlocal left
        if row in kept:
            return kept[row]
        data = _jpeg(read, row)
        size = len(data or b"")
        if size <= left:
            kept[row], left = data, left - size
        return data

    return thumbnail


def _jpeg(read: "Callable[[int], Image | None]", row: int) -> bytes | None:
    try:
        image = read(row)
    except WorldError:  # a picture that is gone is not shown; the map is of its vector
        return None
    if image is None:
        return None
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    data = BytesIO()
    image.save(data, "JPEG", quality=85)
    return data.getvalue()
