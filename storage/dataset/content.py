"""The bytes of contents that a ledger lists, and of nothing else."""

import hashlib

from conf.errors import WorldError
from storage.dataset.ledger import Ledger
from storage.readers.protocol import Rows, Unreadable

_NEXT = "Run again: the scan will take it up."


class ContentChanged(WorldError):
    """A file no longer has the bytes that the ledger lists."""


class ContentGone(WorldError):
    """A file that the ledger lists cannot be read any more."""


class ContentReader:
    """Reads contents by their sha256 from where the ledger's rows lie. Thread-safe."""

    def __init__(self, rows: Rows, ledger: Ledger) -> None:
        self._rows = rows
        self._sizes: dict[str, int | None] = {}
        self._uris: dict[str, list[str]] = {}
        for uri, sha256, size in zip(ledger.uri, ledger.sha256, ledger.size_bytes, strict=True):
            if sha256 is not None:
                self._uris.setdefault(sha256, []).append(uri)
                self._sizes[sha256] = size

    def read(self, sha256: str) -> bytes:
        """Return the bytes whose sha256 this is; they are hashed before they are returned.

        Of several rows with the same content any will do. Raises ContentChanged or ContentGone,
        and KeyError for a content that is not in the ledger.
        """
        failures: list[WorldError] = []
        for uri in self._uris[sha256]:
            try:
                return self._checked(uri, sha256)
            except WorldError as error:
                failures.append(error)
        raise failures[0]

    def _checked(self, uri: str, sha256: str) -> bytes:
        listed = f"{uri}: the ledger lists {self._sizes[sha256]} bytes with sha256 {sha256[:16]}..."
        try:
            data = self._rows.read(uri)
        except Unreadable as error:
            raise ContentGone(f"{listed}, and it is {error.reason}. {_NEXT}") from error
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise ContentChanged(
                f"{listed}, and it is {len(data)} bytes with sha256 {found[:16]}... now. {_NEXT}"
            )
        return data
