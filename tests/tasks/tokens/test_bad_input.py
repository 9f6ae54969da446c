"""Bad activation files: a clear error, and nothing published or left to go on with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from conf.tokens import SEGMENT_TOKENS, FilesSource
from storage.tokens.errors import BadActivations
from storage.tokens.seedfiles import write_metadata

Array = np.ndarray[Any, Any]


def entries_of(tokens: int) -> tuple[Array, Array, Array]:
    """Return features, values and reviews of so many tokens."""
    random = np.random.default_rng(0)
    features = np.stack([random.permutation(12)[:4] for _ in range(tokens)]).astype(np.int32)
    values = random.random((tokens, 4), dtype=np.float32) + 0.1
    return features, values, np.arange(tokens) // 10


@pytest.fixture
def given() -> tuple[Array, Array, Array]:
    """Return features, values and reviews of 60 tokens."""
    return entries_of(60)


@pytest.fixture
def refused(
    files_of: Callable[..., FilesSource], index_of: Callable[..., Any], tmp_path: Path
) -> Callable[..., str]:
    """Return a function that indexes a file, and returns the text of the error.

    Nothing of the file stays in the store, and the same store takes a sound one.
    """

    def index(
        features: Array,
        activations: Array,
        reviews: Array,
        spoil: Callable[[FilesSource], None] = lambda files: None,
        *,
        n_features: int = 12,
        **settings: Any,
    ) -> str:
        store = tmp_path / "store"
        files = files_of(tmp_path / "files", features, activations, reviews)
        spoil(files)
        with pytest.raises(BadActivations) as caught:
            index_of(files, store, n_features, **settings)
        left = [path for name in ("published", "drafts") for path in store.glob(f"{name}/*/*")]
        assert left == []
        sound = files_of(tmp_path / "sound", *entries_of(30))
        assert index_of(sound, store, 12).n_tokens == 30
        return str(caught.value)

    return index


def test_an_index_out_of_range(refused: Any, given: Any) -> None:
    given[0][:] = 0, 1, 2, 3
    given[0][7] = 1, 2, 11, 3
    told = refused(*given, n_features=11)
    assert "z_idx[7, 2] is 11, out of range: with n_features = 11 features are 0 to 10." in told
    assert "Set n_features to what the autoencoder has" in told
    assert "Token 7 lists the features [1, 2, 11, 3] with the values [" in told


def test_a_negative_index(refused: Any, given: Any) -> None:
    given[0][7, 2] = -1
    told = refused(*given)
    assert "z_idx[7, 2] is -1, out of range" in told
    assert "pad short rows with feature 0 and the value 0" in told


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite(refused: Any, given: Any, value: float) -> None:
    given[1][33, 1] = value
    told = refused(*given)
    assert f"z_val[33, 1] is {value:g}, not a finite float32. Correct what wrote the file" in told


def test_a_value_too_large_for_float16_says_to_take_float32(refused: Any, given: Any) -> None:
    given[1][5, 0] = 70000
    told = refused(*given, values="f16")
    assert 'z_val[5, 0] is 70000, too large for float16 (65,504): set values = "f32"' in told


@pytest.mark.parametrize("first", [0.0, 0.5])
def test_a_feature_twice_at_a_token(refused: Any, given: Any, first: float) -> None:
    given[0][9] = 4, 3, 5, 3
    given[1][9, 1:] = first, 1, 0.25
    told = refused(*given)
    assert "z_idx[9, 1] is 3, which the token lists again with a value that this one hides" in told
    assert "List a feature once a token." in told


def test_parts_that_were_sealed_of_a_bad_file_go_too(refused: Any) -> None:
    tokens = SEGMENT_TOKENS + 10
    values = np.ones((tokens, 1), np.float32)
    values[-1] = np.nan
    reviews = np.arange(tokens) // 9000
    told = refused(np.zeros((tokens, 1), np.int32), values, reviews, part_rows=1)
    assert f"z_val[{tokens - 1}, 0] is nan" in told


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

    told = refused(*given, spoil)
    assert "z_idx is (4, 60), but rev_idx is (60,), not (4,): z_idx looks transposed." in told
    assert "Write z_idx.T and z_val.T." in told


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
    assert "k is not constant: z_idx lists 1 at token 0 and 2 at token 1. Write (n_tokens" in told
    assert "pad short rows with feature 0 and the value 0" in told


def test_a_cut_file(refused: Any, given: Any) -> None:
    def cut(files: FilesSource) -> None:
        data = files.activations.read_bytes()
        files.activations.write_bytes(data[: len(data) // 2])

    told = refused(*given, cut)
    assert "is not a whole HDF5 file" in told
    assert "truncated file: eof = " in told
    assert "fetch it again" in told


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
    assert "has no review 'review-3', row 3 of review_ids_unique; 1 of 6 reviews" in told
    assert "Set files.metadata to the metadata of the same data" in told


class Bomb:
    """An object whose pickle runs something."""

    def __reduce__(self) -> Any:
        """Ask for a function that pickle would call."""
        return Path.touch, (Path("ran"),)


def test_metadata_with_a_hostile_pickle(
    refused: Any, given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def arm(files: FilesSource) -> None:
        texts = np.array([Bomb()] * 6, dtype=object)
        np.savez(files.metadata, review_ids=np.array(["a"] * 6), texts=texts)

    told = refused(*given, arm)
    assert "texts.npy is not an array of text, bytes and numbers: it asks for" in told
    assert "Nothing of it was run. Do not trust this file; ask its author for" in told
    assert not Path("ran").exists()


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
