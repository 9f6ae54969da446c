import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from conf.sources.digits import Source
from storage.readers.arrays import unpack
from storage.readers.digits import find_inside, open_source
from storage.readers.protocol import SourceMissing


def test_digits_are_scikit_learns_scaled_to_a_byte() -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    rows = open_source(Source(), ())
    entries = rows.entries()
    assert [entry.label for entry in entries] == bunch.target.tolist()
    pixels = np.stack([unpack(rows.read(entry.uri)) for entry in entries])
    assert np.array_equal(pixels, np.rint(bunch.images * 255 / 16))
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_every_fifth_digit_is_held_out() -> None:
    entries = open_source(Source(), ()).entries()
    assert Counter(entry.split for entry in entries) == {"train": 1438, "test": 359}
    assert [entry.uri for entry in entries if entry.split == "test"][:2] == ["0004", "0009"]


def test_the_limit_takes_the_first_rows() -> None:
    assert [e.uri for e in open_source(Source(limit=2), ()).entries()] == ["0000", "0001"]


def test_reading_digits_imports_no_scikit_learn() -> None:
    code = (
        "import sys; from conf.sources.digits import Source; "
        "from storage.readers.digits import open_source; open_source(Source(), ()).read('0003'); "
        "assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceMissing, match=r"it is not installed. `pip install .* no-such-thing`"):
        find_inside("no_such_thing", "no-such-thing", Path("x"))
    with pytest.raises(SourceMissing, match="json is installed without it"):
        find_inside("json", "json", Path("x"))
