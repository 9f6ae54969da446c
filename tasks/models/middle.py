"""The middle of slender images: all that a transform can use of them."""

from PIL import Image

SLENDER = 8
"""The ratio of the sides beyond which only the middle is resized: the whole would be enlarged to
gigabytes."""


def middle(image: Image.Image, ratio: int) -> Image.Image:
    """Return `image`, or its middle where one side is more than `ratio` times the other."""
    width_px, height_px = image.size
    most_px = ratio * min(width_px, height_px)
    across_px, down_px = min(width_px, most_px), min(height_px, most_px)
    left_px, top_px = (width_px - across_px) // 2, (height_px - down_px) // 2
    return image.crop((left_px, top_px, left_px + across_px, top_px + down_px))
