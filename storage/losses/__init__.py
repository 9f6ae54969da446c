"""Loss matrices on disk: blocks of rows, distances.db, and what may be asked of them."""

from conf.losses import LossClustersRecipe, LossMatrixRecipe
from storage.kinds import Kind
from storage.losses.clusters import LossClusters
from storage.losses.database import finish
from storage.losses.reading import LossMatrix

__all__ = ["KINDS", "LossClusters", "LossMatrix"]

KINDS = (
    Kind(name=LossMatrixRecipe.kind, open=LossMatrix, part_rows=32, finish=finish),
    Kind(name=LossClustersRecipe.kind, open=LossClusters, part_rows=1 << 16),
)
