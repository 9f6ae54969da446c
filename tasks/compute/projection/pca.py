"""Principal components by the covariance matrix: exact, and cheap where rows outnumber columns."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

_BLOCK_BYTES = 1 << 27  # 128 MiB of rows at once
LARGEST, SMALLEST = 1e15, 1e-15
"""Numbers whose squares float32 can add up, and tell from zero."""


@dataclass(frozen=True, eq=False)
class Pca:
    """A rotation that keeps what varies most. A component's largest loading is positive."""

    mean: Float32[np.ndarray, " dim"]
    components: Float32[np.ndarray, "kept dim"]
    """Unit norm, the first varies most."""
    variance: Float64[np.ndarray, " kept"]
    """Of each component, with N - 1 in the denominator."""
    total_variance: float

    def scores(self, vectors: Float32[np.ndarray, "rows dim"]) -> Float32[np.ndarray, "rows kept"]:
        """Return the coordinates of `vectors` along the components."""
        blocks = [
            (vectors[span] - self.mean) @ self.components.T for span in row_blocks(vectors.shape)
        ]
        return np.concatenate(blocks)


def row_blocks(shape: tuple[int, ...]) -> list[slice]:
    """Return spans of rows of at most 128 MiB float32; one at least."""
    rows, dim = shape
    step = max(1, _BLOCK_BYTES // (4 * max(1, dim)))
    return [slice(first, min(first + step, rows)) for first in range(0, max(rows, 1), step)]


_TOO_LARGE = f"too large: squares of numbers beyond {LARGEST:g} are infinite; scale the vectors"


def usable_rows(
    vectors: Float32[np.ndarray, "rows dim"], *, unit: bool
) -> tuple[Bool[np.ndarray, " rows"], list[str | None]]:
    """Return which rows can be mapped, and of each other why not: not finite, too large to be
    squared or, where directions are compared, without one."""
    finite, lengths = np.empty(len(vectors), bool), np.empty(len(vectors))
    for span in row_blocks(vectors.shape):
        finite[span] = np.isfinite(vectors[span]).all(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            lengths[span] = np.abs(vectors[span]).max(axis=1, initial=0)
    usable = finite & ((lengths > 0) if unit else (lengths <= LARGEST))
    odd = "zero: a vector of zeros has no direction" if unit else _TOO_LARGE
    why = np.where(finite, odd, "not finite: NaN or infinite")
    return usable, [None if good else str(said) for good, said in zip(usable, why, strict=True)]


def unit_length(vectors: Float32[np.ndarray, "rows dim"]) -> Float32[np.ndarray, "rows dim"]:
    """Return the rows scaled to length 1; none may be zero. Very large and tiny rows keep their
    direction."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    scaled = vectors / largest
    unit: Float32[np.ndarray, "rows dim"] = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit


def fit_pca(vectors: Float32[np.ndarray, "rows dim"], dims: int) -> Pca:
    """Return the first `dims` components of `vectors`, or as many as these rows have.

    The eigenvectors of the covariance matrix or, of fewer rows than columns, of the products of
    rows: scikit-learn's PCA up to sign.
    """
    rows, dim = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    kept = max(1, min(dims, dim, rows - 1))
    if rows > dim:
        products = _covariance(vectors, mean)
        values, vectors_of = _largest(products, kept)
        components, total = vectors_of.T, float(np.trace(products))
    else:
        centred = vectors.astype(np.float64) - mean
        products = centred @ centred.T
        values, vectors_of = _largest(products, kept)
        lengths = np.sqrt(np.maximum(values, np.finfo(float).tiny))
        components, total = (centred.T @ (vectors_of / lengths)).T, float(np.trace(products))
    degrees = max(1, rows - 1)
    exact = _signed(components).astype(np.float32)
    return Pca(mean, exact, np.maximum(values, 0) / degrees, total / degrees)


def _covariance(
    vectors: Float32[np.ndarray, "rows dim"], mean: Float32[np.ndarray, " dim"]
) -> Float64[np.ndarray, "dim dim"]:
    total = np.zeros((vectors.shape[1],) * 2)
    for span in row_blocks((vectors.shape[0], max(vectors.shape[1], 1 << 13))):
        centred = vectors[span] - mean
        total += centred.T @ centred
    return total


def _largest(
    matrix: Float64[np.ndarray, "n n"], kept: int
) -> tuple[Float64[np.ndarray, " kept"], Float64[np.ndarray, "n kept"]]:
    from scipy.linalg import eigh

    size = len(matrix)
    values, vectors = eigh(matrix, subset_by_index=(size - kept, size - 1))
    return values[::-1], vectors[:, ::-1]


def _signed(components: Float64[np.ndarray, "kept dim"]) -> Float64[np.ndarray, "kept dim"]:
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return components * np.where(signs == 0, 1, signs)[:, None]
