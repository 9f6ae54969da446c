import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from conf.sources.sample_photos import Source
from storage.readers.pixels import decode
from storage.readers.protocol import SourceMissing, Unreadable
from storage.readers.sample_photos import open_source

ALWAYS = [
    "scikit-image/astronaut.png",
    "scikit-image/chelsea.png",
    "scikit-image/coffee.png",
    "scikit-image/hubble_deep_field.jpg",
    "scikit-image/motorcycle_left.png",
    "scikit-image/rocket.jpg",
    "scikit-learn/china.jpg",
    "scikit-learn/flower.jpg",
]
OPTIONAL = ["ultralytics/bus.jpg", "ultralytics/zidane.jpg"]


def test_the_photos_of_the_installed_packages_are_rows() -> None:
    uris = [entry.uri for entry in open_source(Source(), ()).entries()]
    assert uris[: len(ALWAYS)] == ALWAYS
    assert uris[len(ALWAYS) :] in ([], OPTIONAL)


def test_every_photo_decodes_and_is_in_colour() -> None:
    rows = open_source(Source(), ())
    for entry in rows.entries():
        pixels = np.asarray(decode(rows.read(entry.uri), max_megapixels=2)).astype(int)
        assert np.ptp(pixels, axis=2).mean() > 5, entry.uri


def test_a_package_that_is_not_installed_has_no_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name != "sklearn" else find(name)
    )
    uris = [entry.uri for entry in open_source(Source(), ()).entries()]
    assert uris == ["scikit-learn/china.jpg", "scikit-learn/flower.jpg"]


def test_without_any_package_the_error_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SourceMissing, match="scikit-image, scikit-learn, ultralytics"):
        open_source(Source(), ())


def test_the_limit_takes_the_first_rows() -> None:
    assert [e.uri for e in open_source(Source(limit=2), ()).entries()] == ALWAYS[:2]


def test_only_the_photos_are_read() -> None:
    with pytest.raises(Unreadable, match="gone: "):
        open_source(Source(), ()).read("scikit-image/../secret.png")


def test_finding_photos_imports_none_of_the_packages() -> None:
    code = (
        "import sys; from conf.sources.sample_photos import Source; "
        "from storage.readers.sample_photos import open_source; "
        "open_source(Source(), ()).entries(); "
        "assert not {'sklearn', 'skimage', 'ultralytics', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
