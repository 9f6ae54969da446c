import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from storage import hashes as module
from storage.errors import NoSpace
from storage.hashes import Hashes, HashesUnusable, is_settled
from storage.readers.listing import Stamps
from storage.readers.protocol import Stamp
from storage.remembered import Known, Verdict

SECOND = 1_000_000_000
LATER = 10**18
OK = Verdict(4, 3, None)
BROKEN = Verdict(None, None, "broken: so it is")


@pytest.fixture
def hashes(tmp_path: Path) -> Iterator[Hashes]:
    with Hashes(tmp_path / "store" / "hashes.sqlite") as hashes:
        yield hashes


def stamp(path: str = "/a.jpg", mtime_ns: int = 5, member: str = "") -> Stamp:
    return Stamp(path, 10, mtime_ns, member)


def recalled(hashes: Hashes, stamps: Sequence[Stamp | None], probe: str) -> list[Known | None]:
    found = hashes.recall(Stamps.of(stamps), probe)
    return [found.row(at) for at in range(len(stamps))]


def test_an_unchanged_file_is_known(hashes: Hashes) -> None:
    hashes.remember(stamp(), "aa", LATER, 10)
    hashes.judge("aa", "images 1", OK)
    (known,) = recalled(hashes, [stamp()], "images 1")
    assert known == Known("aa", 10, *OK)
    assert known.verdict == OK


@pytest.mark.parametrize(
    "changed", [Stamp("/a.jpg", 11, 5), Stamp("/a.jpg", 10, 6), Stamp("/b.jpg", 10, 5)]
)
def test_a_changed_file_is_not_known(hashes: Hashes, changed: Stamp) -> None:
    hashes.remember(stamp(), "aa", LATER, 10)
    assert recalled(hashes, [changed, None, stamp()], "images 1") == [None, None, Known("aa", 10)]


@pytest.mark.parametrize("others", [0, 9])  # nearly all verdicts are wanted, or few of them
def test_the_verdict_of_each_file_is_its_own_however_many_others_there_are(
    hashes: Hashes, others: int
) -> None:
    for number in range(others):
        hashes.judge(f"other {number}", "x", OK)
    sizes = {"/a": Verdict(1, 2, None), "/b": Verdict(3, 4, None)}
    for path, verdict in sizes.items():
        hashes.remember(stamp(path), f"of {path}", LATER, 10)
        hashes.judge(f"of {path}", "x", verdict)
    hashes.judge("of /a", "another probe", BROKEN)
    known = recalled(hashes, [stamp("/b"), stamp("/a")], "x")
    assert known == [Known("of /b", 10, 3, 4, None, 1), Known("of /a", 10, 1, 2, None, 1)]


def listed(count: int = 40) -> list[Stamp | None]:
    """Return stamps of a large listing: of every tenth file none is known, a tenth has no stamp."""
    return [None if at % 10 == 9 else Stamp(f"/p/{at:03d}.png", at, at) for at in range(count)]


def learn(hashes: Hashes, stamps: Sequence[Stamp | None]) -> None:
    """Remember a listing: images, some of them broken, some looked at by nobody, and texts."""
    for at, one in enumerate(stamps):
        if one and at % 10 != 8:
            sha256 = f"{at:064x}"
            hashes.remember(one, None if at % 10 == 7 else sha256, LATER, at)
            verdict = (Verdict(9, 9, "too large", False), BROKEN, OK)[min(at % 10, 2)]
            hashes.judge(sha256, "x", verdict)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small listings be kept as blocks, too."""
    monkeypatch.setattr(module, "BLOCK_ROWS", 2)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("few", [0, 1_000])
def test_a_listing_kept_as_a_block_is_known_as_the_tables_know_it(
    hashes: Hashes, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FEW", few)
    stamps = listed()
    learn(hashes, stamps)
    first = recalled(hashes, stamps, "x")
    assert len(set(map(type, first))) == 2, "some are known, some are not"
    assert recalled(hashes, stamps, "x") == first
    changed = [*stamps[5:], Stamp("/p/new.png", 3, 3), Stamp("/p/000.png", 0, 1)]
    learn(hashes, changed[-2:-1])
    again = recalled(hashes, changed, "x")
    hashes._database.execute("DELETE FROM listings")
    assert recalled(hashes, changed, "x") == again == [*first[5:], again[-2], None]
    assert again[-2] is not None


@pytest.mark.usefixtures("blocks")
def test_a_block_spares_the_tables(hashes: Hashes) -> None:
    stamps = [stamp(f"/{number}") for number in range(4)]
    for number, one in enumerate(stamps):
        hashes.remember(one, f"{number:064x}", LATER, 10)
        hashes.judge(f"{number:064x}", "x", OK)
    first = recalled(hashes, stamps, "x")
    hashes._database.execute("DELETE FROM files")
    assert recalled(hashes, stamps, "x") == first
    assert recalled(hashes, stamps, "another probe") == [None] * 4


@pytest.mark.usefixtures("blocks")
def test_a_damaged_block_and_a_database_without_blocks_cost_time_only(hashes: Hashes) -> None:
    stamps = listed()
    learn(hashes, stamps)
    first = recalled(hashes, stamps, "x")
    hashes._database.execute("UPDATE listings SET shas = x'00'")
    assert recalled(hashes, stamps, "x") == first
    hashes._database.execute("DROP TABLE listings")
    assert recalled(hashes, stamps, "x") == first


@pytest.mark.usefixtures("blocks")
def test_of_many_listings_the_last_ones_are_kept(
    hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCKS", 2)
    hashes.judge("0" * 64, "x", OK)
    for folder in "abc":
        stamps = [stamp(f"/{folder}/{number}") for number in range(2)]
        for one in stamps:
            hashes.remember(one, "0" * 64, LATER, 10)
        recalled(hashes, stamps, "x")
    kept = hashes._database.execute("SELECT folder FROM listings ORDER BY folder").fetchall()
    assert kept == [(b"/b",), (b"/c",)]


def test_what_is_no_image_is_known_as_that(hashes: Hashes) -> None:
    hashes.remember(stamp(), None, LATER)
    assert recalled(hashes, [stamp()], "images 1") == [Known(None, None)]


def test_rows_of_one_file_are_told_apart(hashes: Hashes) -> None:
    stamps = [stamp(member=f"train/{number}") for number in range(3)]
    for number, row in enumerate(stamps):
        hashes.remember(row, str(number), LATER)
    assert recalled(hashes, stamps, "x") == [Known(sha256, None) for sha256 in ("0", "1", "2")]


def test_names_that_are_no_utf8_are_remembered(hashes: Hashes) -> None:
    odd = stamp(os.fsdecode(b"/caf\xe9.jpg"))
    hashes.remember(odd, "aa", LATER, 10)
    assert recalled(hashes, [odd], "x") == [Known("aa", 10)]


def test_what_is_remembered_outlives_the_process(tmp_path: Path) -> None:
    for _ in range(2):
        with Hashes(tmp_path / "hashes.sqlite") as hashes:
            hashes.remember(stamp(), "aa", LATER, 10)
    with Hashes(tmp_path / "hashes.sqlite") as hashes:
        assert recalled(hashes, [stamp()], "x") == [Known("aa", 10)]


def test_a_verdict_belongs_to_its_check(hashes: Hashes) -> None:
    hashes.judge("aa", "images 1", OK)
    assert hashes.verdict("aa", "images 1") == OK
    assert hashes.verdict("aa", "images 2") is None
    assert hashes.verdict("bb", "images 1") is None


def test_a_failure_is_not_believed_of_other_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Hashes(tmp_path / "hashes.sqlite") as hashes:
        hashes.judge("aa", "images 1", OK)
        hashes.judge("bb", "images 1", BROKEN)
        assert hashes.verdict("bb", "images 1") == BROKEN
    monkeypatch.setattr(module, "decoder_libraries", lambda: "pillow 99")
    with Hashes(tmp_path / "hashes.sqlite") as hashes:
        assert hashes.verdict("aa", "images 1") == OK
        assert hashes.verdict("bb", "images 1") is None


@pytest.mark.parametrize(
    ("mtime_ns", "read_at_ns", "settled"),
    [
        (7 * SECOND + 1, 7 * SECOND + 2, False),
        (7 * SECOND + 1, 7 * SECOND + SECOND // 10, True),
        (7 * SECOND, 7 * SECOND + SECOND, False),
        (7 * SECOND, 9 * SECOND, True),
        (7 * SECOND + 1, 7 * SECOND, False),
        (99 * SECOND, 7 * SECOND, True),
        (10**19, 7 * SECOND, False),  # the year 2286
    ],
)
def test_a_file_read_within_a_tick_of_its_last_write_is_not_trusted(
    hashes: Hashes, mtime_ns: int, read_at_ns: int, settled: bool
) -> None:
    assert is_settled(mtime_ns, read_at_ns) is settled
    hashes.remember(stamp(mtime_ns=mtime_ns), "aa", read_at_ns)
    (known,) = recalled(hashes, [stamp(mtime_ns=mtime_ns)], "x")
    assert (known is not None) is settled


def test_a_file_is_hashed_once(tmp_path: Path, hashes: Hashes) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"1234")
    os.utime(path, ns=(5, 5))
    expected = hashlib.sha256(b"1234").hexdigest()
    assert hashes.sha256_of_file(path) == expected
    path.write_bytes(b"4321")
    os.utime(path, ns=(5, 5))
    assert hashes.sha256_of_file(path) == expected, "the stamp is the same: it was not read"
    os.utime(path, ns=(6, 6))
    assert hashes.sha256_of_file(path) == hashlib.sha256(b"4321").hexdigest()


def test_a_file_of_a_year_that_is_too_far_away_is_hashed_every_time(
    tmp_path: Path, hashes: Hashes
) -> None:
    path = tmp_path / "weights.bin"
    for content in (b"1234", b"4321"):
        path.write_bytes(content)
        os.utime(path, ns=(10**19, 10**19))
        if path.stat().st_mtime_ns != 10**19:
            pytest.skip("this file system cannot date a file so")
        assert hashes.sha256_of_file(path) == hashlib.sha256(content).hexdigest()


def test_many_threads_and_two_connections_share_it(tmp_path: Path) -> None:
    path = tmp_path / "hashes.sqlite"
    with Hashes(path) as one, Hashes(path) as two, ThreadPoolExecutor(4) as pool:

        def work(number: int) -> None:
            hashes = one if number % 2 else two
            hashes.judge(str(number), "x", OK)
            hashes.checkpoint()

        list(pool.map(work, range(40)))
        assert all(one.verdict(str(number), "x") == OK for number in range(40))


def test_a_damaged_database_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "hashes.sqlite"
    path.write_bytes(b"this is no database, it is a text" * 100)
    with pytest.raises(HashesUnusable, match="If it is damaged, delete it: all contents are then"):
        Hashes(path)


def test_a_full_disk_is_one_clear_error_and_keeps_no_block(hashes: Hashes) -> None:
    stamps = listed(2_000)
    learn(hashes, stamps)
    hashes.checkpoint()
    (pages,) = hashes._database.execute("PRAGMA page_count").fetchone()
    hashes._database.execute(f"PRAGMA max_page_count = {pages}")  # it cannot grow any more
    assert len(recalled(hashes, stamps, "x")) == 2_000
    with suppress(sqlite3.OperationalError):
        assert not hashes._database.execute("SELECT 1 FROM listings").fetchall()
    for number in range(1_000):
        hashes.judge(f"{number}", "y", OK)
    with pytest.raises(NoSpace, match=r"is full\)\. Free some space, or name another store"):
        hashes.checkpoint()
    hashes._new_verdicts.clear()


def test_a_database_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hashes.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 7")
    database.close()
    with pytest.raises(HashesUnusable, match="has format 7, this version reads 1"):
        Hashes(path)


def test_another_process_need_not_wait_for_a_slow_scan(tmp_path: Path) -> None:
    path = tmp_path / "hashes.sqlite"
    with Hashes(path) as slow, Hashes(path) as other:
        slow.judge("aa", "x", OK)
        slow.remember(stamp(), "aa", LATER, 10)
        with sqlite3.connect(path, timeout=0) as database:
            database.execute("BEGIN EXCLUSIVE").connection.rollback()
        database.close()
        other.judge("bb", "x", OK)
        other.checkpoint()
        assert slow.verdict("aa", "x") == slow.verdict("bb", "x") == OK
        assert other.verdict("aa", "x") is None
        slow.checkpoint()
        assert other.verdict("aa", "x") == OK
