"""Bad activation files: a clear error, and nothing published."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from conf.tokens import FilesSource
from storage.store import ArtifactStore
from storage.tokens.errors import BadActivations
from storage.tokens.seedfiles import write_metadata

Array = np.ndarray[Any, Any]


@pytest.fixture
def given() -> tuple[Array, Array, Array]:
    """Return features, values and reviews of 60 tokens."""
    random = np.random.default_rng(0)
    features = np.stack([random.permutation(12)[:4] for _ in range(60)]).astype(np.int32)
    return features, random.random((60, 4), dtype=np.float32) + 0.1, np.arange(60) // 10


@pytest.fixture
def refused(
    files_of: Callable[..., FilesSource], index_of: Callable[..., Any], tmp_path: Path
) -> Callable[..., str]:
    """Return a function that indexes a file, and returns the text of the error."""

    def index(
        features: Array,
        values: Array,
        reviews: Array,
        spoil: Callable[[FilesSource], None] = lambda files: None,
        *,
        n_features: int = 12,
        kept: str = "f32",
    ) -> str:
        files = files_of(tmp_path / "files", features, values, reviews)
        spoil(files)
        with pytest.raises(BadActivations) as caught:
            index_of(files, tmp_path / "store", n_features, values=kept)
        published = [key.kind for key in ArtifactStore(tmp_path / "store").published()]
        assert not {"token-index", "token-postings"} & set(published)
        return str(caught.value)

    return index


def test_an_index_out_of_range(refused: Any, given: Any) -> None:
    told = refused(*given, n_features=11)
    assert "lists a feature that is out of range, the autoencoder has 11 (0 to 10)" in told
    assert "is n_features right?" in told


def test_a_negative_index(refused: Any, given: Any) -> None:
    given[0][7, 2] = -1
    assert "token 7 lists a feature that is out of range" in refused(*given)


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite(refused: Any, given: Any, value: float) -> None:
    given[1][33, 1] = value
    told = refused(*given)
    assert "token 33 has a value that is not finite" in told
    assert "Its features are [" in told


def test_a_value_too_large_for_float16_says_to_take_float32(refused: Any, given: Any) -> None:
    given[1][5, 0] = 70000
    assert 'token 5 has a value too large for float16 (65,504): set values = "f32"' in refused(
        *given, kept="f16"
    )


@pytest.mark.parametrize("first", [0.0, 0.5])
def test_a_feature_twice_at_a_token(refused: Any, given: Any, first: float) -> None:
    given[0][9, :2] = 3
    given[0][9, 2:] = 4, 5
    given[1][9, :2] = first, 0.25
    assert "token 9 lists a feature twice, with a value that the first hides" in refused(*given)


def test_a_padding_of_zeros_is_no_repetition(
    files_of: Any, index_of: Any, tmp_path: Path, given: Any
) -> None:
    given[0][9] = 3, 0, 0, 3
    given[1][9] = 0.5, 0, 0, 0
    index = index_of(files_of(tmp_path / "files", *given), tmp_path / "store", 12)
    assert index.get_feature_activation(9, 3) == 0.5
    assert index.get_feature_activation(9, 0) == 0.0


def test_swapped_shapes(refused: Any, given: Any) -> None:
    def spoil(files: FilesSource) -> None:
        with h5py.File(files.activations, "r+") as file:
            for name in ("z_idx", "z_val"):
                rows = file[name][:]
                del file[name]
                file[name] = rows.T

    assert "z_idx is (4, 60), but rev_idx is (60,), not (4,): z_idx looks transposed." in refused(
        *given, spoil
    )


def replaced(name: str, change: Callable[[Any], Any], dtype: Any = None) -> Any:
    def spoil(files: FilesSource) -> None:
        with h5py.File(files.activations, "r+") as file:
            rows = file[name][:]
            del file[name]
            file.create_dataset(name, data=change(rows), dtype=dtype)

    return spoil


def test_features_and_values_that_were_swapped(refused: Any, given: Any) -> None:
    told = refused(*given, replaced("z_idx", lambda rows: rows.astype(np.float32)))
    assert "integers and floats are needed. Are the two swapped?" in told


def test_values_of_another_shape(refused: Any, given: Any) -> None:
    told = refused(*given, replaced("z_val", lambda rows: rows[:, :3]))
    assert "z_idx is (60, 4) and z_val (60, 3); both must be (n_tokens, k)." in told


def test_a_k_that_is_not_constant(refused: Any, given: Any) -> None:
    def ragged(rows: Array) -> Array:
        out = np.empty(len(rows), dtype=object)
        for number, row in enumerate(rows):
            out[number] = row[: 1 + number % 4]
        return out

    told = refused(*given, replaced("z_idx", ragged, h5py.vlen_dtype(np.int32)))
    assert "k is not constant" in told
    assert "pad short rows with the value 0" in told


def test_a_cut_file(refused: Any, given: Any) -> None:
    def cut(files: FilesSource) -> None:
        data = files.activations.read_bytes()
        files.activations.write_bytes(data[: len(data) // 2])

    assert "is not a whole HDF5 file" in refused(*given, cut)


def test_a_missing_dataset(refused: Any, given: Any) -> None:
    def drop(files: FilesSource) -> None:
        with h5py.File(files.activations, "r+") as file:
            del file["rev_idx"]

    told = refused(*given, drop)
    assert "lacks rev_idx; it has review_ids_unique, z_idx, z_val." in told


def test_a_token_of_no_review(refused: Any, given: Any) -> None:
    told = refused(*given, replaced("review_ids_unique", lambda ids: ids[:-1]))
    assert "token 50 belongs to review 'review-5', which review_ids_unique does not name" in told


def test_metadata_without_one_review(refused: Any, given: Any) -> None:
    def drop(files: FilesSource) -> None:
        ids = [f"review-{number}" for number in (0, 1, 2, 4, 5)]
        texts = ("texts", "user_ids", "business_ids")
        columns = dict.fromkeys(texts, ids) | dict.fromkeys(("stars", "useful"), [1] * 5)
        write_metadata(files.metadata, {"review_ids": ids, **columns})

    told = refused(*given, drop)
    assert "has no review 'review-3'; 1 of 6 reviews of the activation file are missing" in told


def test_metadata_without_a_column(refused: Any, given: Any) -> None:
    def drop(files: FilesSource) -> None:
        write_metadata(files.metadata, {"review_ids": ["review-0"], "texts": ["a"]})

    assert "lacks business_ids, stars, useful, user_ids; it has review_ids, texts." in refused(
        *given, drop
    )


def test_a_file_of_no_tokens(refused: Any) -> None:
    empty = np.empty((0, 4))
    told = refused(empty.astype(np.int32), empty.astype(np.float32), np.empty(0, np.int64))
    assert "z_idx is (0, 4); 1 to 2^32 tokens and a k are needed" in told


def test_review_ids_of_two_dimensions(refused: Any, given: Any) -> None:
    def spoil(files: FilesSource) -> None:
        with h5py.File(files.activations, "r+") as file:
            ids = file["review_ids_unique"][:]
            del file["review_ids_unique"]
            file["review_ids_unique"] = ids[:, None]

    assert "review_ids_unique is (6, 1), not (n_reviews,)" in refused(*given, spoil)


def test_ids_that_cannot_be_read(refused: Any, given: Any) -> None:
    def spoil(files: FilesSource) -> None:
        with h5py.File(files.activations, "r+") as file:
            ids = file["rev_idx"][:]
            del file["rev_idx"]
            file.create_dataset("rev_idx", data=ids, chunks=True, compression="gzip")
            chunk = file["rev_idx"].id.get_chunk_info(0)
        with files.activations.open("r+b") as raw:
            raw.seek(chunk.byte_offset)
            raw.write(b"\xff" * chunk.size)

    assert "rev_idx cannot be read from 0 to 60" in refused(*given, spoil)
