"""What can be wrong with vectors, with what names them, and with where maps are to go."""

from conf.errors import FeaturemillError, RecipeError


class BadVectors(FeaturemillError):
    """A file or artifact of vectors, or what names its rows, is not what it must be."""


class OrderDiffers(BadVectors):
    """Vectors and the names of their rows are not in the same order."""


class OutputsExist(RecipeError):
    """There are outputs already, and nobody said that they may be written over."""
