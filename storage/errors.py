"""All that can go wrong with what is kept, on one page."""

from conf.errors import FeaturemillError, WorldError


class StoreError(FeaturemillError):
    """The store itself cannot be used: not a store, another format, another store's artifact."""


class UnknownArtifact(FeaturemillError):
    """No artifact of that name is published here."""


class DamagedArtifact(FeaturemillError):
    """Bytes on disk are not the bytes that were sealed."""


class IncompleteArtifact(FeaturemillError):
    """Parts are missing; what was sealed is kept in the draft."""


class StoreInUse(WorldError):
    """A run is at work, so what it may need cannot be removed."""


class NoSpace(WorldError):
    """The disk cannot take what a run would write."""


class DraftLost(FeaturemillError):
    """The draft that a part belongs to is gone: another process published or removed it."""
