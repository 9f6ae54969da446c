"""Whether an image's patch tokens can be compared with texts, and by which matrix."""

from dataclasses import dataclass
from typing import Any, Literal

from tasks.models.protocols import Float32, ImageTextEncoder


@dataclass(frozen=True, eq=False)
class TokenSpace:
    """How patch tokens get into the space of texts."""

    name: Literal["text", "projected", "none"]
    """ "text": they are there; "projected": `projection` puts them there; "none": nothing does."""
    projection: Float32 | None = None
    """(token_dim, dim)."""
    grid: Literal["image", "center"] = "image"
    """Which part of the image the patches tile: all of it, squashed to a square, or the square in
    its middle."""


def token_space(encoder: ImageTextEncoder) -> TokenSpace:
    """Return how the patch tokens of `encoder` compare with its texts.

    An encoder may say so itself (`token_space`). open_clip's own vision transformers project their
    pooled token by a matrix, which holds for every token (Zhou et al. 2022, MaskCLIP); a tower that
    pools by attention, such as SigLIP's, has no such matrix.
    """
    if not encoder.token_count:
        return TokenSpace("none")
    said = getattr(encoder, "token_space", None)
    if said is not None:
        return TokenSpace(said)
    projection = _projection(getattr(encoder, "_model", None))
    if projection is None:
        return TokenSpace("none")
    return TokenSpace("projected", projection, _grid(getattr(encoder, "_model", None)))


def _grid(model: Any) -> Literal["image", "center"]:
    config = getattr(getattr(model, "visual", None), "preprocess_cfg", {})
    return "image" if config.get("resize_mode") == "squash" else "center"


def _projection(model: Any) -> Float32 | None:
    visual = getattr(model, "visual", None)
    matrix = getattr(visual, "proj", None)
    if matrix is None or getattr(visual, "attn_pool", None) is not None:
        return None
    if getattr(matrix, "ndim", 0) != 2:
        return None
    projection: Float32 = matrix.detach().float().cpu().numpy()
    return projection
