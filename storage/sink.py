"""What HDF5 writes into: a file of which it never learns that the disk is full.

HDF5 that meets a full disk while it closes a file takes the whole process down (a segmentation
fault in HDF5 2.0, as in the versions before). So it is told that all was written, and the error is
raised when it is done.
"""

import io
from pathlib import Path
from typing import Any


class Sink(io.FileIO):
    """A new file at `path`; `error` is what the first write came to that failed, no other is
    tried."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, where nothing has failed, and return its length in any case."""
        rest = memoryview(data).cast("B")
        end = self.tell() + len(rest)
        try:
            while len(rest) and not self.error:
                rest = rest[super().write(rest) :]
        except OSError as problem:
            self.error = problem
        self.seek(end)
        return memoryview(data).nbytes

    def truncate(self, size_bytes: int | None = None) -> int:
        """Set the length, where nothing has failed, and return it in any case."""
        size_bytes = self.tell() if size_bytes is None else size_bytes
        try:
            if not self.error:
                super().truncate(size_bytes)
        except OSError as problem:
            self.error = problem
        return size_bytes
