"""References: names that people and flows give to artifacts, one small file each."""

import os
from contextlib import suppress
from pathlib import Path

from conf.errors import did_you_mean
from conf.keys import ArtifactKey
from storage.atomic import write_file
from storage.errors import StoreError, UnknownArtifact


class Refs:
    """The names in a store's `refs/`; a name is words joined by '/', such as "demo/photo-
    labels"."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def all(self) -> dict[str, str]:
        """Return every name with the key it means, sorted by name."""
        start = len(os.path.join(self.root, ""))
        paths = (
            os.path.join(folder, name)
            for folder, _, names in os.walk(self.root)
            for name in names
            if not name.startswith(".")
        )
        return {path[start:]: Path(path).read_text().strip() for path in sorted(paths)}

    def get(self, name: str) -> str | None:
        """Return the key that `name` means, or None where it means nothing."""
        if not _is_name(name):
            return None
        try:
            return self._path(name).read_text().strip()
        except OSError:  # no such file, a folder of other names, longer than a file's name can be
            return None

    def remove(self, name: str) -> None:
        """Forget `name`; the artifact stays until it is collected. Raises UnknownArtifact."""
        known = self.all()
        if name not in known:
            raise UnknownArtifact(
                f"No artifact is named {name!r}. {did_you_mean(name, known)} `featuremill tag` "
                "lists all names."
            )
        path = self._path(name)
        path.unlink()
        with suppress(OSError):  # a folder that is not empty has other names
            for folder in path.relative_to(self.root).parents[:-1]:
                (self.root / folder).rmdir()

    def set(self, name: str, key: ArtifactKey | str) -> None:
        """Let `name` mean the artifact `key` from now on."""
        if not _is_name(name):
            raise StoreError(
                f"{name!r} is not a name for an artifact. Names are words joined by '/', none of "
                f"them "
                "starting with a dot: demo/photo-labels."
            )
        path = self._path(name)
        if other := self._in_the_way(path):
            raise StoreError(
                f"{name!r} cannot be a name beside {other!r}: one of them would be the folder of "
                f"the other. Choose another name, or remove that one: featuremill tag --remove "
                f"{other}."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text() != f"{key}\n":
            write_file(path, f"{key}\n".encode())

    def _path(self, name: str) -> Path:
        return self.root.joinpath(*name.split("/"))

    def _in_the_way(self, path: Path) -> str | None:
        """Return a name that would be the folder of `path`, or lies in it as in a folder."""
        above = (place for place in path.parents if place.is_relative_to(self.root))
        files = (place for place in (*above, *path.rglob("*")) if place.is_file())
        found = next(files, None)
        return found.relative_to(self.root).as_posix() if found else None


def _is_name(text: str) -> bool:
    return all(word and word[0] != "." and word.isprintable() for word in text.split("/"))
