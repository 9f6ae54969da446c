"""What can be wrong with activation files and their metadata."""

from conf.errors import FeaturemillError


class BadActivations(FeaturemillError):
    """An activation file, its metadata or its tokenizer is not what it must be."""
