"""Loss matrices: what decides how far the detections of two images are apart, and their groups."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from conf.detections import STRIDE_PX, Thresholds
from conf.detections import Preset as DetectionPreset
from conf.keys import ArtifactKey, Frozen, Recipe, sha256_of
from conf.models import ModelSpec

Backend = Literal["sparse", "stock"]
Measure = Literal["regret", "loss", "rank"]


class LossMatrixRecipe(Recipe):
    """Losses of every image's head with every image's detections as targets; the input
    `detections` says of which images. Model, size and thresholds are those of the detections."""

    kind: ClassVar[str] = "loss-matrix"
    row_inputs: ClassVar[frozenset[str]] = frozenset({"detections"})

    model: ModelSpec
    size_px: int = Field(default=640, ge=STRIDE_PX)
    thresholds: Thresholds = Thresholds()
    backend: Backend = "sparse"
    """ "sparse": the kernels; "stock": Ultralytics' own criterion, pair by pair, some hundred times
    slower."""
    database_images: int = Field(default=200, ge=0)
    """distances.db holds the pairs of at most so many images; of more, an export does."""

    def family(self, inputs: Mapping[str, ArtifactKey]) -> str:
        """Return the sha256 that matrices share whose pairs are interchangeable."""
        fields = self.model_dump(mode="python", exclude={"database_images"})
        return sha256_of({"kind": self.kind, "version": self.version, "recipe": fields})


class LossClustersRecipe(Recipe):
    """Groups of the images of a matrix, the input `matrix`, and what they mean; where there is an
    input `images`, features of an encoder, also how far these name the same neighbours."""

    kind: ClassVar[str] = "loss-clusters"

    measure: Measure = "regret"
    """ "regret": how much worse than its own detections another's fit an image, d(i, j) - d(i, i),
    never below 0; "loss": the loss itself; "rank": which of all images' detections fit it best."""
    components: tuple[str, ...] = ()
    """The losses that are added up; empty: all that the head has."""
    clusters: int | None = Field(default=None, ge=2)
    """Into how many groups the trees are cut; None: as many as HDBSCAN finds, at least two."""
    min_cluster_size: int = Field(default=5, ge=2)
    """The smallest group that HDBSCAN calls one."""
    neighbours: int = Field(default=10, ge=1)
    """Of how many neighbours hubs and the agreement with features are counted."""


class LossSettings(Frozen):
    """Which matrix and which groups a run makes of detections."""

    backend: Backend = "sparse"
    database_images: int = Field(default=200, ge=0)
    groups: LossClustersRecipe = LossClustersRecipe()
    encoder: ModelSpec | None = None
    """Whose features of the same images the neighbours by loss are compared with, beside the
    detector's own: CLIP's, say. None: nobody's."""


class Preset(DetectionPreset):
    """The settings of flow `losses`: those of the detections, and what is made of them."""

    losses: LossSettings = LossSettings()
