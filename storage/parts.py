"""Parts: the sealed groups of rows that an artifact is made of.

A part is a directory of files under `parts/`, its name bearing the artifact key; beside it lies its
marker, `<part>.json`. The marker is written last: a part without a matching marker does not exist.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from conf.keys import ArtifactKey
from storage.atomic import (
    fsync_directory,
    fsync_file,
    is_temporary,
    link_or_copy,
    rename,
    temporary_beside,
    write_json,
)
from storage.checksums import FileSum

MARKER_FORMAT = 1


def part_name(key: ArtifactKey, number: int) -> str:
    """Return the name of the `number`-th part of `key`: it tells whose part it is."""
    return f"{key}.{number:05d}"


@dataclass(frozen=True)
class Marker:
    """What was sealed: whose part, which rows, which bytes."""

    key: str
    part: str
    rows: tuple[str, ...]
    files: dict[str, FileSum]
    seconds: float
    device: str = ""
    """Where its model ran, "cuda" perhaps; empty where none did."""

    def as_json(self) -> dict[str, Any]:
        """Return the content of the marker file."""
        return {
            "format": MARKER_FORMAT,
            "key": self.key,
            "part": self.part,
            "seconds": round(self.seconds, 6),
            "device": self.device,
            "files": {name: sums.as_json() for name, sums in sorted(self.files.items())},
            "rows": list(self.rows),
        }

    @classmethod
    def read(cls, path: Path | str) -> Self | None:
        """Return the marker at `path`, or None when it is absent or not a marker."""
        try:
            with open(path, "rb") as file:
                content = json.load(file)
            files = {name: FileSum.from_json(sums) for name, sums in content["files"].items()}
            rows, seconds = tuple(content["rows"]), float(content["seconds"])
            return cls(content["key"], content["part"], rows, files, seconds, content["device"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def problem(self, parts: Path, *, rehash: bool = True) -> str | None:
        """Return what is wrong with the part that this marker seals, or None."""
        folder = parts / self.part
        for name, sums in self.files.items():
            if found := sums.problem(os.path.join(folder, name), rehash=rehash):
                return f"{self.part}/{found}"
        strangers = set(os.listdir(folder)) - self.files.keys()
        return f"{self.part} holds {sorted(strangers)}, never sealed" if strangers else None


def marker_path(parts: Path, name: str) -> Path:
    """Return where the marker of part `name` lies."""
    return parts / f"{name}.json"


def sealed(parts: Path, key: ArtifactKey) -> Iterator[Marker]:
    """Yield the markers in `parts` that are whole and belong to `key`, in order of their names."""
    try:
        names = os.listdir(parts)  # twice as fast as a glob: a plan looks into a thousand folders
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for name in sorted(name for name in names if name.endswith(".json")):
        marker = Marker.read(os.path.join(parts, name))
        if marker and marker.key == str(key) and f"{marker.part}.json" == name:
            yield marker


@dataclass
class PartWriter:
    """The temporary folder of a part in the making.

    Files written here are hashed and flushed when the part is sealed; a writer that has done both
    itself says so with `add`.
    """

    folder: Path
    sums: dict[str, FileSum] = field(default_factory=dict)
    device: str = ""
    """Where the model of this part runs; set by the task, told by the marker."""

    def add(self, name: str, sums: FileSum) -> None:
        """Take the checksum of a file that is already flushed to the disk."""
        self.sums[name] = sums

    def link(self, source: Path, sums: FileSum) -> None:
        """Take over a sealed file of another artifact under the same name."""
        link_or_copy(source, self.folder / source.name)
        self.add(source.name, sums)

    def finish(self) -> dict[str, FileSum]:
        """Return the checksums of all files, every byte of them on the disk."""
        for name in sorted(set(os.listdir(self.folder)) - self.sums.keys()):
            fsync_file(self.folder / name)
            self.add(name, FileSum.of(self.folder / name))
        fsync_directory(self.folder)
        return self.sums


@contextmanager
def writing(parts: Path, key: ArtifactKey, name: str, rows: Sequence[str]) -> Iterator[PartWriter]:
    """Yield a writer of part `name`; seal it on leaving, or leave nothing behind on an error."""
    began = time.perf_counter()
    target = parts / name
    temporary = temporary_beside(target)
    temporary.mkdir()
    try:
        writer = PartWriter(temporary)
        yield writer
        files = writer.finish()
        if Marker.read(marker_path(parts, name)):
            return  # an orphan of a killed run sealed it first; its rows are the same
        if target.exists():
            shutil.rmtree(target)  # renamed, then killed before its marker: it does not exist
        rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    seconds = time.perf_counter() - began
    marker = Marker(str(key), name, tuple(rows), files, seconds, writer.device)
    write_json(marker_path(parts, name), marker.as_json())


def sweep(parts: Path) -> None:
    """Remove what interrupted writers left behind: temporary names and parts without a marker."""
    found = sorted(parts.iterdir())
    leftovers = [
        path
        for path in found
        if is_temporary(path) or (path.is_dir() and not marker_path(parts, path.name).exists())
    ]
    for path in leftovers:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if leftovers:
        fsync_directory(parts)  # else a power loss may bring them back, unlisted, into a publishing
