"""Files that a recipe names by sha256, held to it once more after they were read."""

from collections.abc import Mapping
from pathlib import Path

from storage.hashes import Hashes
from storage.store import ArtifactStore
from storage.tokens.errors import FileChanged


def check_unchanged(store: ArtifactStore, wanted: Mapping[Path, str | None]) -> None:
    """Raise FileChanged unless every file has the sha256 that it is `wanted` to have, if any.

    Called before a part is sealed: a key must not name bytes that are not in it. A file that still
    bears the stamp it was hashed with is not read again.
    """
    with Hashes(store.path / "hashes.sqlite") as hashes:
        for path, sha256 in wanted.items():
            if sha256 is None:
                continue
            found = hashes.sha256_of_file(path) if path.is_file() else "gone"
            if found != sha256:
                raise FileChanged(
                    f"{path} has changed while it was read: its sha256 was {sha256}, now it is "
                    f"{found}. Nothing of it was sealed. Let its writer finish and run again."
                )
