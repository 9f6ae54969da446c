"""The manifest: what was published, from what, and the checksum of every byte of it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from blake3 import blake3

from conf.keys import ArtifactKey, held_rows
from storage.atomic import is_temporary, json_bytes, write_file
from storage.checksums import FileSum
from storage.errors import DamagedArtifact

MANIFEST = "manifest.json"
MANIFEST_FORMAT = 1
UNLISTED = frozenset({MANIFEST, "prefect.json", "plan.json"})
"""Names in a published directory that no manifest lists: itself, Prefect's record (rewritten at
every read, never believed), and the plan of a draft that was renamed a moment ago."""


@dataclass(frozen=True)
class Manifest:
    """All that is known of a published artifact, but its rows."""

    key: str
    digest: str
    """The whole sha256 that the key abbreviates."""
    family: str
    """Artifacts of one family share rows: same recipe and inputs, other rows wanted."""
    recipe: Mapping[str, Any]
    inputs: Mapping[str, str]
    rows: int
    """Units of work."""
    files: Mapping[str, FileSum]
    made: Mapping[str, Any] = field(default_factory=dict)
    """How it came about: time, seconds, device, versions. Decides nothing."""

    @property
    def held_rows(self) -> int:
        """The rows that people count; see `conf.keys.held_rows`."""
        return held_rows(self.recipe, self.rows)

    @property
    def size_bytes(self) -> int:
        """The bytes of all files."""
        return sum(sums.size_bytes for sums in self.files.values())

    def as_json(self) -> dict[str, Any]:
        """Return the content of manifest.json but for its checksum."""
        key = ArtifactKey.parse(self.key)
        return {
            "format": MANIFEST_FORMAT,
            "key": self.key,
            "kind": key.kind,
            "version": key.version,
            "digest": self.digest,
            "family": self.family,
            "recipe": self.recipe,
            "inputs": self.inputs,
            "rows": self.rows,
            "made": self.made,
            "files": {name: sums.as_json() for name, sums in sorted(self.files.items())},
        }

    def write(self, folder: Path) -> None:
        """Write manifest.json into `folder`, bearing the BLAKE3 of its own content."""
        write_file(folder / MANIFEST, _signed(self.as_json()))

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the manifest in `folder`, or None where there is none.

        Raises DamagedArtifact when the file is not, to the last byte, what was written.
        """
        try:
            data = (folder / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not _is_signed(data):
            raise DamagedArtifact(f"{MANIFEST} of {folder.name} has other bytes than were written")
        return cls._of(json.loads(data))

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> Self:
        files = {name: FileSum.from_json(sums) for name, sums in content["files"].items()}
        plain = {name: content[name] for name in ("key", "digest", "family", "recipe", "inputs")}
        return cls(**plain, rows=content["rows"], files=files, made=content["made"])

    def problem(self, folder: Path, *, rehash: bool = True) -> str | None:
        """Return what is wrong with the files in `folder`, or None. Without `rehash`, sizes
        only."""
        for name, sums in self.files.items():
            if found := sums.problem(os.path.join(folder, name), rehash=rehash):
                return f"{name}: {found}"
        strangers = files_in(folder) - self.files.keys() if rehash else set()
        return f"{sorted(strangers)} in it were never published" if strangers else None


def files_in(folder: Path) -> set[str]:
    """Return the names, relative to `folder`, of the files that a manifest must list.

    Leftovers of interrupted writes, Prefect's record perhaps, mean nothing, and are left out.
    """
    found: set[str] = set()
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_temporary(Path(name))]
        place = Path(path).relative_to(folder)
        found.update((place / name).as_posix() for name in files if not is_temporary(Path(name)))
    return found - UNLISTED


def _signed(content: dict[str, Any]) -> bytes:
    plain = json_bytes(content)
    return plain.removesuffix(_END) + _signature(plain)


def _is_signed(data: bytes) -> bool:
    """Whether `data` is what `_signed` gives for some content, which is not written anew for it."""
    content, signature = data[:-_SIGNATURE_BYTES], data[-_SIGNATURE_BYTES:]
    return signature == _signature(content + _END)


def _signature(plain: bytes) -> bytes:
    """Return the last member of an object whose text without it is `plain`, and the end."""
    return b',\n "blake3": "%s"%s' % (blake3(plain).hexdigest().encode(), _END)


_END = b"\n}\n"
_SIGNATURE_BYTES = len(_signature(b""))
