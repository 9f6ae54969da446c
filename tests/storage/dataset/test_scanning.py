import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conf.dataset import parse_source
from conf.sources import digits, folder, npz
from storage.dataset import Ledger, open_rows, probe_name, scan
from storage.hashes import Hashes
from storage.readers.folder import FolderRows
from storage.readers.formats import IMAGE_FORMATS
from storage.readers.protocol import Rows

_opened: list[str] | None = None


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None:
        _opened.append(os.fsdecode(arguments[0]) if not isinstance(arguments[0], int) else "fd")


@pytest.fixture(scope="module", autouse=True)
def _audit() -> None:
    sys.addaudithook(_listen)  # for good: there is no taking one away


def opened_by(work: Callable[[], object], below: Path) -> list[str]:
    """Return the files below a folder that `work` opens."""
    global _opened
    _opened = []
    try:
        work()
    finally:
        found, _opened = _opened, None
    return [path for path in found if path.startswith(str(below))]


@pytest.fixture
def hashes(tmp_path: Path) -> Iterator[Hashes]:
    with Hashes(tmp_path / "hashes.sqlite") as hashes:
        yield hashes


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    return photos


def image(shade: int = 0, size: tuple[int, int] = (8, 6), format: str = "PNG") -> bytes:
    file = BytesIO()
    Image.new("RGB", size, (shade % 256, shade // 256, 7)).save(file, format)
    return file.getvalue()


def settle(folder: Path) -> None:
    """Let the files be old, as they are when nobody has just written them."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(10**17 + 1, 10**17 + 1))


def fill(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"{number:03d}.png").write_bytes(image(number))
    settle(folder)


def ledger_of(rows: Path | Rows, hashes: Hashes, **settings: Any) -> Ledger:
    opened = open_rows(folder.Source(root=rows)) if isinstance(rows, Path) else rows
    return scan(opened, hashes, **{"threads": 2, "max_megapixels": 100, **settings})


def test_a_scan_lists_content_size_and_shape(photos: Path, hashes: Hashes) -> None:
    (photos / "a.png").write_bytes(image())
    ledger = ledger_of(photos, hashes)
    row = ledger.row(0)
    assert (row.uri, row.status, row.reason) == ("a.png", "ok", None)
    assert (row.size_bytes, row.width_px, row.height_px) == (len(image()), 8, 6)


def test_an_empty_folder_is_an_empty_ledger(photos: Path, hashes: Hashes) -> None:
    assert len(ledger_of(photos, hashes)) == 0


def test_a_second_scan_opens_no_file_and_finds_the_same(photos: Path, hashes: Hashes) -> None:
    fill(photos, 20)
    (photos / "broken.jpg").write_bytes(b"no image")
    (photos / "notes.txt").write_bytes(b"neither")
    (photos / "no-suffix").write_bytes(image())
    settle(photos)
    ledgers: list[Ledger] = []

    def look() -> None:
        ledgers.append(ledger_of(photos, hashes))

    assert len(opened_by(look, photos)) >= 23, "the hook hears what is opened"
    assert opened_by(look, photos) == []
    assert ledgers[0] == ledgers[1]
    assert ledgers[1].summary() == {"ok": 21, "not an image": 1}
    assert ledgers[1].skipped == ("notes.txt",)


def test_only_what_changed_is_opened(photos: Path, hashes: Hashes) -> None:
    fill(photos, 5)
    first = ledger_of(photos, hashes)
    (photos / "002.png").write_bytes(image(99))
    (photos / "new.png").write_bytes(image(98))
    second: list[Ledger] = []
    opened = opened_by(lambda: second.append(ledger_of(photos, hashes)), photos)
    assert sorted(map(os.path.basename, opened)) == ["002.png", "new.png"]
    assert [a == b for a, b in zip(first.sha256, second[0].sha256, strict=False)] == [
        True,
        True,
        False,
        True,
        True,
    ]


def test_a_large_folder_is_the_same_ledger_from_its_block(
    photos: Path, hashes: Hashes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.hashes.BLOCK_ROWS", 2)
    fill(photos, 9)
    (photos / "percent%.png").write_bytes(image(77))
    (photos / "large.png").write_bytes(image(78, (9, 9)))
    (photos / "broken.png").write_bytes(b"no image")
    (photos / "text.txt").write_bytes(b"neither")
    settle(photos)
    (photos / "folder.png").mkdir()

    def scanned(hashes: Hashes) -> tuple[Ledger, tuple[str, ...]]:
        ledger = ledger_of(photos, hashes, max_megapixels=5e-5)
        return ledger, ledger.skipped

    def afresh() -> tuple[Ledger, tuple[str, ...]]:
        with Hashes(tmp_path / f"{time.time_ns()}.sqlite") as other:
            return scanned(other)

    expected = afresh()
    assert expected[0].summary() == {
        "ok": 10,
        "not an image": 1,
        "not a file": 1,
        "too large": 1,
    }
    assert [scanned(hashes) for _ in range(3)] == [expected] * 3
    (photos / "003.png").unlink()
    (photos / "004.png").write_bytes(image(99))
    (photos / "new.png").write_bytes(image(98))
    assert scanned(hashes) == afresh() != expected


def test_a_file_just_written_is_read_again_next_time(photos: Path, hashes: Hashes) -> None:
    path = photos / "a.png"
    path.write_bytes(image(1))
    stamp = path.stat().st_mtime_ns
    before = ledger_of(photos, hashes)
    path.write_bytes(image(2))
    os.utime(path, ns=(stamp, stamp))  # as within one tick of a coarse clock
    assert ledger_of(photos, hashes).sha256 != before.sha256


def test_a_file_dated_after_2262_is_a_row_like_any_other(photos: Path, hashes: Hashes) -> None:
    (photos / "a.png").write_bytes(image())
    os.utime(photos / "a.png", ns=(10**19, 10**19))
    assert [ledger_of(photos, hashes).summary() for _ in range(2)] == [{"ok": 1}] * 2


def test_a_moved_file_is_hashed_but_not_decoded_again(
    photos: Path, hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(photos, 2)
    ledger_of(photos, hashes)
    (photos / "000.png").rename(photos / "z.png")
    monkeypatch.setattr("storage.readers.pixels.probe", None)
    assert ledger_of(photos, hashes).summary() == {"ok": 2}


def test_the_limit_of_pixels_is_applied_to_what_is_remembered(photos: Path, hashes: Hashes) -> None:
    (photos / "a.png").write_bytes(image(size=(1000, 1000)))
    settle(photos)
    reason = "too large: 1.0 megapixels, the limit is 0.5"
    verdicts = [
        ledger_of(photos, hashes, max_megapixels=limit).reason[0]
        for limit in (0.5, 0.5, 1.0, 0.5, 1.0)
    ]
    assert verdicts == [reason, reason, None, reason, None]


def test_a_cut_image_stays_refused_under_a_lower_and_a_higher_limit(
    photos: Path, hashes: Hashes
) -> None:
    (photos / "a.jpg").write_bytes(image(size=(1000, 1000), format="JPEG")[:-400])
    settle(photos)
    words = [
        str(ledger_of(photos, hashes, max_megapixels=limit).reason[0]).partition(":")[0]
        for limit in (0.5, 100, 0.5, 100)
    ]
    assert words[0] == "too large"
    assert words[1] == words[3] == "truncated"


def test_progress_is_told_from_what_is_known_to_the_end(photos: Path, hashes: Hashes) -> None:
    fill(photos, 3)
    told: list[tuple[int, int]] = []
    ledger_of(photos, hashes, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    told.clear()
    ledger_of(photos, hashes, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(3, 3)]


class Changing(FolderRows):
    """A folder in which a file is written to while it is read, so many times."""

    times = 1

    def read(self, uri: str, *, first_bytes: int | None = None) -> bytes:
        data = super().read(uri, first_bytes=first_bytes)
        if self.times:
            self.times -= 1
            (Path(self._root) / uri).write_bytes(image(50 + self.times, (9, 9 + self.times)))
        return data


@pytest.mark.parametrize(("times", "status"), [(0, "ok"), (1, "ok"), (2, "failed")])
def test_a_file_that_changes_while_it_is_read_is_read_once_more(
    photos: Path, hashes: Hashes, times: int, status: str
) -> None:
    (photos / "a.png").write_bytes(image())
    settle(photos)
    rows = Changing(folder.Source(root=photos), photos, ())
    rows.times = times
    row = ledger_of(rows, hashes).row(0)
    assert row.status == status
    assert (row.sha256 is None) == (status == "failed")
    if status == "failed":
        assert row.reason == "changing: it was written to while it was read, twice"


class Vanishing(FolderRows):
    """A folder whose files are gone once they are listed."""

    def stamp(self, uri: str) -> Any:
        (Path(self._root) / uri).unlink(missing_ok=True)
        return super().stamp(uri)


def test_a_file_that_vanishes_is_a_failed_row_and_looked_for_again(
    photos: Path, hashes: Hashes
) -> None:
    (photos / "a.png").write_bytes(image())
    ledger = ledger_of(Vanishing(folder.Source(root=photos), photos, ()), hashes)
    assert ledger.row(0)[:7] == (
        "a.png", None, "unspecified", -1, None, "failed", "gone: there is no such file"
    )  # fmt: skip
    (photos / "a.png").write_bytes(image())
    assert ledger_of(photos, hashes).summary() == {"ok": 1}


class Counting(FolderRows):
    """A folder that counts how many of its files are held at once."""

    held = most = 0
    lock = threading.Lock()

    def read(self, uri: str, *, first_bytes: int | None = None) -> bytes:
        with self.lock:
            self.held += 1
            self.most = max(self.most, self.held)
        try:
            return super().read(uri, first_bytes=first_bytes)
        finally:
            with self.lock:
                self.held -= 1


def test_no_more_files_are_held_than_there_are_threads(photos: Path, hashes: Hashes) -> None:
    fill(photos, 40)
    rows = Counting(folder.Source(root=photos), photos, ())
    assert ledger_of(rows, hashes, threads=3).summary() == {"ok": 40}
    assert rows.most <= 3


KILLED = """
import os, signal, sys
from pathlib import Path
import storage.dataset.scanning as scanning
from conf.sources.folder import Source
from storage.dataset import open_rows
from storage.hashes import Hashes

scanning._CHECKPOINT_SECONDS = 0
def die(done, total):
    if done == 30:
        os.kill(os.getpid(), signal.SIGKILL)
with Hashes(Path(sys.argv[2])) as hashes:
    scanning.scan(open_rows(Source(root=Path(sys.argv[1]))), hashes, threads=2,
                  max_megapixels=100, on_progress=die)
"""


def test_a_killed_scan_goes_on_where_it_was(photos: Path, tmp_path: Path) -> None:
    fill(photos, 60)
    database = tmp_path / "killed.sqlite"
    run = subprocess.run([sys.executable, "-c", KILLED, photos, database], check=False)
    assert run.returncode == -9
    told: list[int] = []
    with Hashes(database) as hashes:
        again = ledger_of(photos, hashes, on_progress=lambda done, _: told.append(done))
        assert told[0] >= 29
    with Hashes(tmp_path / "fresh.sqlite") as fresh:
        assert again == ledger_of(photos, fresh)


def test_an_archive_is_not_unpacked_again(tmp_path: Path, hashes: Hashes) -> None:
    path = tmp_path / "a.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
    np.savez(path, train_images=pixels, train_labels=np.arange(4).reshape(4, 1))
    settle(tmp_path)
    first = ledger_of(open_rows(npz.Source(path=path)), hashes)
    assert first.summary() == {"ok": 4}
    assert (first.width_px, first.height_px) == ((28,) * 4, (28,) * 4)
    rows = open_rows(npz.Source(path=path))
    rows.read = None  # type: ignore[method-assign,assignment]
    assert ledger_of(rows, hashes) == first


def test_the_digits_are_the_same_dataset_everywhere(hashes: Hashes) -> None:
    ledger = ledger_of(open_rows(digits.Source()), hashes)
    assert ledger.summary() == {"ok": 1797}
    assert str(ledger.recipe.key()) == "dataset-v1-5ac72bde3cf2a4df"
    assert str(ledger.content) == "content-v1-67a2958c0d53f02d"


def test_verdicts_on_arrays_and_on_images_are_kept_apart() -> None:
    assert probe_name(frozenset({"NPY"})) == "arrays 1"
    assert probe_name(IMAGE_FORMATS) == "images 1"


def test_a_source_is_opened_by_its_name(photos: Path) -> None:
    fill(photos, 1)
    spec = parse_source({"source": "folder", "root": str(photos)})
    assert [entry.uri for entry in open_rows(spec).entries()] == ["000.png"]


WARM = """
import json, sys
from pathlib import Path
from conf.sources.folder import Source
from storage.dataset import open_rows, scan
from storage.hashes import Hashes
with Hashes(Path(sys.argv[2])) as hashes:
    ledger = scan(open_rows(Source(root=Path(sys.argv[1]))), hashes, threads=2, max_megapixels=100)
print(json.dumps([len(ledger), sorted({"PIL", "pyarrow", "pandas", "torch"} & set(sys.modules))]))
"""


def test_an_unchanged_folder_is_scanned_without_a_decoder(photos: Path, tmp_path: Path) -> None:
    fill(photos, 3)
    with Hashes(tmp_path / "warm.sqlite") as hashes:
        ledger_of(photos, hashes)
    run = subprocess.run(
        [sys.executable, "-c", WARM, photos, tmp_path / "warm.sqlite"],
        capture_output=True,
        check=True,
    )
    assert json.loads(run.stdout) == [3, []]


def test_the_limit_of_a_folder_is_that_of_the_ledger(photos: Path, hashes: Hashes) -> None:
    for number in range(5):
        (photos / f"a{number}.txt").write_bytes(b"a text")
        (photos / f"b{number}.png").write_bytes(image(number))
    ledger = ledger_of(open_rows(folder.Source(root=photos, limit=3)), hashes)
    assert ledger.uri == ("b0.png", "b1.png", "b2.png")
    assert ledger.skipped == tuple(f"a{number}.txt" for number in range(5))
