"""Checksums of files on disk: BLAKE3, in hex."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from blake3 import blake3

_THREADED_BYTES = 1 << 24  # 16 MiB: below it, threads cost more than they save


@dataclass(frozen=True)
class FileSum:
    """How long a file is and what it hashes to."""

    size_bytes: int
    blake3: str

    def as_json(self) -> dict[str, Any]:
        """Return the two facts as a JSON object."""
        return {"size_bytes": self.size_bytes, "blake3": self.blake3}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the sum that `as_json` gave."""
        return cls(int(content["size_bytes"]), str(content["blake3"]))

    @classmethod
    def of(cls, path: Path | str) -> Self:
        """Return the sum of the bytes that lie at `path` now."""
        size_bytes = os.stat(path).st_size
        threads = blake3.AUTO if size_bytes >= _THREADED_BYTES else 1
        hasher = blake3(max_threads=threads)
        if size_bytes:
            hasher.update_mmap(path)
        return cls(size_bytes, hasher.hexdigest())

    def problem(self, path: Path | str, *, rehash: bool = True) -> str | None:
        """Return what is wrong with the file at `path`, in words, or None when it is as it was."""
        told = self._fault(path, rehash=rehash)
        return told and f"{os.path.basename(path)} {told}"

    def _fault(self, path: Path | str, *, rehash: bool) -> str | None:
        try:
            size_bytes = os.stat(path).st_size
            if size_bytes != self.size_bytes:
                return f"has {size_bytes} bytes, {self.size_bytes} were written"
            if rehash and FileSum.of(path) != self:
                return "has other bytes than were written (BLAKE3 differs)"
        except FileNotFoundError:
            return "is gone"
        except OSError as problem:  # a bad sector, say: as good as gone
            return f"cannot be read: {problem.strerror}"
        return None
