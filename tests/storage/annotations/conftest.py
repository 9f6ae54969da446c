"""Images of 40 x 20 pixels in folders, as a ledger, and their sha256s by uri."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from conf.sources.folder import Source
from storage.dataset import Ledger, open_rows, scan
from storage.hashes import Hashes

WIDTH_PX, HEIGHT_PX = 40, 20
MakeLedger = Callable[..., Ledger]


@pytest.fixture
def ledger_of(tmp_path: Path) -> MakeLedger:
    def make(*uris: str) -> Ledger:
        for at, uri in enumerate(uris):
            path = tmp_path / "set" / uri
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (WIDTH_PX, HEIGHT_PX), (at, 90, 200)).save(path)
        rows = open_rows(Source(root=tmp_path / "set"))
        with Hashes(tmp_path / "hashes.sqlite") as hashes:
            return scan(rows, hashes, threads=1, max_megapixels=1)

    return make


@pytest.fixture
def sha256_of() -> Callable[[Ledger, str], str]:
    def find(ledger: Ledger, uri: str) -> str:
        found = ledger.sha256[ledger.uri.index(uri)]
        assert found is not None
        return found

    return find
