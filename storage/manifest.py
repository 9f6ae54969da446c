"""The manifest: what was published, from what, and the checksum of every byte of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from blake3 import blake3

from conf.keys import ArtifactKey
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
    files: Mapping[str, FileSum]
    made: Mapping[str, Any] = field(default_factory=dict)
    """How it came about: time, seconds, device, versions. Decides nothing."""

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
        try:
            content = json.loads(data)
            content.pop("blake3")
            whole = _signed(content) == data
        except (ValueError, KeyError, AttributeError, TypeError):
            whole = False
        if not whole:
            raise DamagedArtifact(f"{MANIFEST} of {folder.name} has other bytes than were written")
        return cls._of(content)

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> Self:
        files = {name: FileSum.from_json(sums) for name, sums in content["files"].items()}
        plain = {name: content[name] for name in ("key", "digest", "family", "recipe", "inputs")}
        return cls(**plain, rows=content["rows"], files=files, made=content["made"])

    def problem(self, folder: Path, *, rehash: bool = True) -> str | None:
        """Return what is wrong with the files in `folder`, or None. Without `rehash`, sizes
        only."""
        for name, sums in self.files.items():
            if found := sums.problem(folder / name, rehash=rehash):
                return f"{name}: {found}"
        strangers = files_in(folder) - self.files.keys() if rehash else set()
        return f"{sorted(strangers)} in it were never published" if strangers else None


def files_in(folder: Path) -> set[str]:
    """Return the names, relative to `folder`, of the files that a manifest must list."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    names = {path.as_posix() for path in paths if not _is_leftover(path)}
    return names - UNLISTED


def _is_leftover(path: Path) -> bool:
    """Whether `path` is of an interrupted write, Prefect's record perhaps: it means nothing."""
    return any(is_temporary(step) for step in (path, *path.parents))


def _signed(content: dict[str, Any]) -> bytes:
    return json_bytes(content | {"blake3": blake3(json_bytes(content)).hexdigest()})
