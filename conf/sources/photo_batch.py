"""The images of a batch of photos, as a JSON file lists them."""

from pathlib import Path
from typing import Literal

from conf.dataset import SourceSpec


class Source(SourceSpec):
    """The `std_uri` or the `original_uri` of every photo of the batch; a row's uri is its
    photo_id."""

    source: Literal["photo_batch"] = "photo_batch"
    path: Path
    """The batch's JSON file."""
    image: Literal["standard", "original"] = "standard"
    base: Path | None = None
    """What its uris are relative to; None: the folder of the file."""
