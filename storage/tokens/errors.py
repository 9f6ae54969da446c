"""What can be wrong with activation files and their metadata."""

from conf.errors import InputRefused, WorldError


class BadActivations(InputRefused):
    """An activation file, its metadata or its tokenizer is not what it must be."""


class FileChanged(WorldError):
    """A file is no longer the one that its recipe names."""
