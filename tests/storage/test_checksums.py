from pathlib import Path

import pytest
from blake3 import blake3

from storage.checksums import FileSum

# The first test vector of the BLAKE3 reference: the hash of nothing.
EMPTY = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"sealed")
    return tmp_path / "file"


def test_an_empty_file_has_the_hash_of_nothing(path: Path) -> None:
    path.write_bytes(b"")
    assert FileSum.of(path) == FileSum(0, EMPTY)


@pytest.mark.parametrize("size_bytes", [1, (1 << 24) - 1, 1 << 24])
def test_small_and_large_files_are_hashed_alike(path: Path, size_bytes: int) -> None:
    data = b"m" * size_bytes
    path.write_bytes(data)
    assert FileSum.of(path) == FileSum(size_bytes, blake3(data).hexdigest())


def test_a_sum_survives_json(path: Path) -> None:
    assert FileSum.from_json(FileSum.of(path).as_json()) == FileSum.of(path)


def test_an_untouched_file_has_no_problem(path: Path) -> None:
    assert FileSum.of(path).problem(path) is None


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"seale", "file has 5 bytes, 6 were written"),
        (b"seale!", "file has other bytes than were written (BLAKE3 differs)"),
    ],
)
def test_a_changed_file_is_told_in_words(path: Path, data: bytes, problem: str) -> None:
    sums = FileSum.of(path)
    path.write_bytes(data)
    assert sums.problem(path) == problem


def test_a_file_that_is_gone_is_told_so(path: Path) -> None:
    sums = FileSum.of(path)
    path.unlink()
    assert sums.problem(path) == "file is gone"


def test_without_hashing_only_the_size_is_looked_at(path: Path) -> None:
    sums = FileSum.of(path)
    path.write_bytes(b"SEALED")
    assert sums.problem(path, rehash=False) is None
