"""Vectors of files: one float32 matrix, or a word on what is wrong."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.projection.errors import BadVectors
from storage.projection.vectors import Vectors, file_key, read_npy, read_parquet

ROWS = np.arange(12, dtype=np.float64).reshape(4, 3)


def test_a_npy_file_of_any_number_becomes_float32(tmp_path: Path) -> None:
    for dtype in ("f2", "f8", "i8", "u1"):
        np.save(tmp_path / "v.npy", ROWS.astype(dtype))
        found = read_npy(tmp_path / "v.npy")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, ROWS)


def test_what_float32_cannot_hold_becomes_infinite_not_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", ROWS * 1e300)
    assert np.isinf(read_npy(tmp_path / "v.npy")).any()


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((2, 2, 2)), np.array([["a"]])])
def test_an_array_of_another_shape_or_kind_is_refused(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "v.npy", values)
    with pytest.raises(BadVectors, match="vectors are numbers of shape"):
        read_npy(tmp_path / "v.npy")


def test_no_rows_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((0, 4)))
    with pytest.raises(BadVectors, match="holds no rows: there is nothing to map"):
        read_npy(tmp_path / "v.npy")


def test_pickled_arrays_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(BadVectors, match=r"is not a \.npy file of numbers"):
        read_npy(tmp_path / "v.npy")


def parquet(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_the_only_column_of_vectors_is_taken(tmp_path: Path) -> None:
    path = parquet(tmp_path / "v.parquet", name=list("abcd"), vector=ROWS.tolist())
    np.testing.assert_array_equal(read_parquet(path, None), ROWS)


def test_of_two_columns_one_must_be_named(tmp_path: Path) -> None:
    path = parquet(tmp_path / "v.parquet", first=ROWS.tolist(), second=(ROWS + 1).tolist())
    np.testing.assert_array_equal(read_parquet(path, "second"), ROWS + 1)
    with pytest.raises(BadVectors, match=r"has 2 columns of vectors\. Name one with --column"):
        read_parquet(path, None)
    with pytest.raises(BadVectors, match=r"no column 'frist' of vectors.*Did you mean 'first'"):
        read_parquet(path, "frist")


@pytest.mark.parametrize("odd", [[1.0], None])
def test_vectors_of_different_length_are_told_by_row(tmp_path: Path, odd: object) -> None:
    path = parquet(tmp_path / "v.parquet", v=pa.array([[1.0, 2.0], [3.0, 4.0], odd]))
    with pytest.raises(BadVectors, match=r"row 2 of column 'v' has -?1 numbers, row 0 has 2"):
        read_parquet(path, None)


def test_a_file_that_is_no_parquet_is_told(tmp_path: Path) -> None:
    (tmp_path / "v.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(BadVectors, match="is not a Parquet file"):
        read_parquet(tmp_path / "v.parquet", None)


def test_the_same_vector_has_the_same_digest_in_any_company() -> None:
    rows = ROWS.astype(np.float32)
    assert Vectors(rows).digests()[2] == Vectors(rows[2:3].copy()).digests()[0]
    assert len(set(Vectors(rows).digests())) == 4


def test_a_key_names_bytes_and_column_and_no_path() -> None:
    assert str(file_key("00" * 32, None)) == "vectors-v1-" + file_key("00" * 32, None).digest
    assert file_key("00" * 32, None) != file_key("00" * 32, "v")
