"""Tables that name the rows of vectors: what they tell, and what points are coloured by."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.projection.errors import BadVectors, OrderDiffers
from storage.projection.names import coloured_by, read_table_ids, read_table_names


def test_a_column_of_fractions_or_of_many_numbers_is_measured_and_others_are_classes() -> None:
    many = [str(number) for number in range(30)]
    texts, numbers = coloured_by(
        {
            "id": many,
            "many": many,
            "fractions": ["0.5", "", "nan", "inf", *["1"] * 26],
            "few": ["3", "", *["4"] * 28],
            "split": many,
            "words": ["sea", "1", "", *["sky"] * 27],
            "nothing": [""] * 30,
        }
    )
    assert numbers.keys() == {"many", "fractions"}
    np.testing.assert_array_equal(numbers["fractions"][:5], [0.5, np.nan, np.nan, np.nan, 1])
    assert numbers["many"].dtype == np.float32
    assert {name: list(values[:3]) for name, values in texts.items()} == {
        "few": ["3", None, "4"],
        "split": ["0", "1", "2"],
        "words": ["sea", "1", None],
        "nothing": [None, None, None],
    }


def test_words_that_all_differ_are_no_classes() -> None:
    assert coloured_by({"path": [f"{number}.png" for number in range(200)]}) == ({}, {})


@pytest.fixture
def table(tmp_path: Path) -> Path:
    columns = {
        "id": ["a.png", "b.png", None],
        "label": pa.array(["sea", "sky", "sea"]).dictionary_encode(),
        "score": [0.5, None, 0.25],
        "vector": [[1.0, 2.0]] * 3,
        "image": [b"\xff"] * 3,
    }
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    return tmp_path / "v.parquet"


def test_the_table_that_vectors_are_in_names_them_and_their_order_is_proven(table: Path) -> None:
    names = read_table_names(table, 3, own=True)
    assert names.ids == read_table_ids(table) == ("a.png", "b.png", "row 2")
    assert names.texts == {"label": ["sea", "sky", "sea"]}
    np.testing.assert_array_equal(names.numbers["score"], [0.5, np.nan, 0.25])
    assert (names.order_proven, names.notes) == (True, ())


def test_another_table_proves_no_order_and_needs_as_many_rows(table: Path) -> None:
    names = read_table_names(table, 3)
    assert not names.order_proven
    assert "nothing proves that its rows are in the order" in names.notes[0]
    with pytest.raises(OrderDiffers, match="has 3 rows, the vectors are 4"):
        read_table_names(table, 4)


def test_a_table_of_vectors_alone_numbers_its_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"vector": [[1.0], [2.0]]}), tmp_path / "v.parquet")
    assert read_table_names(tmp_path / "v.parquet", 2, own=True).ids == ("row 0", "row 1")


def test_a_table_that_is_no_parquet_is_told(tmp_path: Path) -> None:
    (tmp_path / "names.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(BadVectors, match=r"names\.parquet is not a Parquet file"):
        read_table_ids(tmp_path / "names.parquet")
