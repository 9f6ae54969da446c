"""Colour photographs that ship inside installed packages, found without importing these."""

import importlib.util
from pathlib import Path

from conf.sources.sample_photos import Source
from storage.readers.files import read_file, stamp_file
from storage.readers.formats import IMAGE_FORMATS
from storage.readers.protocol import Entry, SourceMissing, Stamp, Unreadable

# Terms and photographers: docs/licences.md. Left out of scikit-image's folder: drawings and grey
# images, pictures through a microscope or of a retina, the second eye of the stereo motorcycle.
_PHOTOS = {
    "scikit-image": (
        "skimage",
        "data",
        "astronaut.png chelsea.png coffee.png hubble_deep_field.jpg motorcycle_left.png rocket.jpg",
    ),
    "scikit-learn": ("sklearn", "datasets/images", "china.jpg flower.jpg"),
    "ultralytics": ("ultralytics", "assets", "bus.jpg zidane.jpg"),
}


def open_source(spec: Source, roots: tuple[Path, ...]) -> "PhotoRows":
    """Return the photographs; raises SourceMissing when none is installed.

    `roots` plays no part: only files inside the installed packages are named.
    """
    return PhotoRows(spec)


class PhotoRows:
    """The photographs that are there; a package that is not installed has none."""

    formats = IMAGE_FORMATS
    skipped: tuple[str, ...] = ()

    def __init__(self, spec: Source) -> None:
        self._limit = spec.limit
        self._paths = _installed_photos()
        if not self._paths:
            raise SourceMissing(
                "none of the packages that photographs ship in is installed: "
                f"{', '.join(_PHOTOS)}. `pip install scikit-image scikit-learn` brings eight."
            )

    def entries(self) -> list[Entry]:
        """Return the photographs, sorted by uri ("scikit-image/astronaut.png")."""
        return [Entry(uri, stamp=self.stamp(uri)) for uri in self._paths][: self._limit]

    def stamp(self, uri: str) -> Stamp:
        """Return the stamp of a photograph as it is now; raises Unreadable."""
        return stamp_file(self._path(uri))

    def read(self, uri: str, *, first_bytes: int | None = None) -> bytes:
        """Return the bytes of a photograph; raises Unreadable."""
        return read_file(self._path(uri), first_bytes)

    def _path(self, uri: str) -> str:
        if uri not in self._paths:
            raise Unreadable("gone: the package that it ships in is no longer installed")
        return self._paths[uri]


def _installed_photos() -> dict[str, str]:
    found: dict[str, str] = {}
    for distribution, (module, folder, names) in _PHOTOS.items():
        spec = importlib.util.find_spec(module)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            paths = {f"{distribution}/{name}": Path(place, folder, name) for name in names.split()}
            found |= {uri: str(path) for uri, path in paths.items() if path.is_file()}
    return dict(sorted(found.items()))
