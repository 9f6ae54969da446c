"""Pictures that a cache folder's file names lead to: read where they may be, else not at all."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from conf.keys import ArtifactKey
from storage.hashes import Hashes
from storage.readers.files import Fence, read_file
from storage.readers.pixels import Undecodable, decode
from storage.readers.protocol import Unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

_MAX_MEGAPIXELS = 100.0


def read_picture(folder: Path, name: str, roots: tuple[Path, ...]) -> "Image | None":
    """Return the upright picture that `name` means below `folder`; None where there is none.

    A name that leads out of `folder` and `roots` is not followed.
    """
    try:
        path = Fence(folder, *roots).resolve(os.path.join(folder, name))
        return decode(read_file(path), max_megapixels=_MAX_MEGAPIXELS)
    except (Unreadable, Undecodable):
        return None


def pictures_key(
    folder: Path, names: "Sequence[str]", roots: tuple[Path, ...], hashes: Hashes
) -> ArtifactKey:
    """Return the key of the pictures that `names` mean, in their order: of their bytes."""
    fence, digest = Fence(folder, *roots), hashlib.sha256()
    for name in names:
        try:
            path = Path(fence.resolve(os.path.join(folder, name)))
            told = hashes.sha256_of_file(path) if path.is_file() else ""
        except (Unreadable, OSError):
            told = ""
        digest.update(f"{told}\n".encode())
    return ArtifactKey.of("pictures", 1, digest.hexdigest())
