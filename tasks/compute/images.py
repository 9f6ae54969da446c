"""Feature rows in memory: filled by lanes, compared with what is stored."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float16, Float32

from tasks.compute.norms import FeaturesUnusable

MIN_COSINE = {"fp32": 0.9999, "fp16": 0.999, "bf16": 0.99}
"""How alike an image's feature must be when it is encoded again, alone: what rounding may do."""


@dataclass(frozen=True, eq=False)
class FeatureBuffers:
    """The features of a part, in the precision they are stored in."""

    pooled: Float16[np.ndarray, "rows dim"]
    tokens: Float16[np.ndarray, "rows tokens width"] | None

    @classmethod
    def empty(cls, rows: int, dim: int, token_shape: tuple[int, int] | None) -> "FeatureBuffers":
        """Return buffers for `rows` features of length `dim` and, with a shape, their patch
        tokens."""
        tokens = None if token_shape is None else np.empty((rows, *token_shape), np.float16)
        return cls(np.empty((rows, dim), np.float16), tokens)

    def put(
        self,
        span: slice,
        pooled: Float32[np.ndarray, "batch dim"],
        tokens: Float32[np.ndarray, "batch tokens width"] | None,
    ) -> None:
        """Fill the rows of `span`; raises FeaturesUnusable for numbers that float16 cannot say."""
        _put(self.pooled, span, pooled)
        if self.tokens is not None and tokens is not None:
            _put(self.tokens, span, tokens)


def _put(
    target: Float16[np.ndarray, "rows ..."], span: slice, values: Float32[np.ndarray, "batch ..."]
) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        target[span] = values
    if not np.isfinite(target[span]).all():
        raise FeaturesUnusable(
            f"Features of rows {span.start} to {span.stop - 1} are not finite in float16: the "
            f"model "
            "gave NaN, infinity or more than 65504. Another precision, such as fp32, usually cures "
            "it."
        )


def check_same_feature(
    again: Float32[np.ndarray, " dim"],
    stored: Float16[np.ndarray, " dim"],
    precision: str,
    part: str,
) -> None:
    """Raise FeaturesUnusable unless `again` points where `stored` does, as far as `precision` can
    tell."""
    wide = stored.astype(np.float32)
    cosine = float(again @ wide / (np.linalg.norm(again) * np.linalg.norm(wide)))
    if not cosine >= MIN_COSINE[precision]:
        raise FeaturesUnusable(
            f"The first image of part {part}, encoded again, gives another feature than is stored: "
            f"cosine {cosine:.5f}, at least {MIN_COSINE[precision]} was expected of {precision}. "
            "Libraries or weights changed under the same recipe; `featuremill show` says which "
            "versions made an artifact. Go back to those, or encode all rows anew: remove the "
            "draft and add --set runtime.take_over=false."
        )
