"""Label files: read inside the roots only, and none of them passed over in silence."""

import os
from collections.abc import Iterator
from pathlib import Path

from storage.annotations.collecting import Collected
from storage.readers.files import Fence, read_file, uri_of
from storage.readers.protocol import SourceUnusable, Unreadable


class LabelFiles:
    """The label files below a folder, by their paths relative to it."""

    def __init__(self, root: Path, roots: tuple[Path, ...], suffix: str) -> None:
        self._root, self._suffix = root, suffix
        self._fence = Fence(root, *roots)
        self._asked: set[str] = set()

    def text(self, file: str, collected: Collected) -> str | None:
        """Return the text of `file`; None where there is none, and with a fault where it is there
        but cannot be read."""
        self._asked.add(file)
        path = os.path.join(self._root, file)
        if not os.path.lexists(path):
            return None
        try:
            return read_file(self._fence.resolve(path)).decode("utf-8-sig")
        except Unreadable as error:
            collected.fault(uri_of(file), None, "refused", error.reason)
        except UnicodeDecodeError as error:
            collected.fault(uri_of(file), None, "refused", f"not UTF-8: {error.reason}")
        return None

    def bytes_of(self, path: Path) -> bytes:
        """Return the bytes of a file that must be there; raises SourceUnusable."""
        try:
            return read_file(self._fence.resolve(str(path)))
        except Unreadable as error:
            raise SourceUnusable(f"{path} is {error.reason}.") from error

    def tell_unused(self, collected: Collected) -> None:
        """Take down which label files lie beside those that were read, and are of no image."""
        unused = sorted(self._beside() - self._asked)
        if unused:
            more = f" and {len(unused) - 1} more files" if len(unused) > 1 else ""
            collected.fault(
                uri_of(unused[0]), None, "refused", f"no such image: of this file{more} the "
                "dataset holds no image",
            )  # fmt: skip

    def _beside(self) -> set[str]:
        folders = {os.path.dirname(file) for file in self._asked}
        return {file for folder in folders for file in self._in_folder(folder)}

    def _in_folder(self, folder: str) -> Iterator[str]:
        path = os.path.join(self._root, folder)
        if os.path.isdir(path):
            names = (item.name for item in os.scandir(path) if item.is_file())
            yield from (
                os.path.join(folder, name)
                for name in names
                if name.lower().endswith(self._suffix) and name != "classes.txt"
            )
