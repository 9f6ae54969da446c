"""Maps: what decides components, neighbours, coordinates, trust and the page of each."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from conf.dataset import AnySource
from conf.keys import Frozen, Recipe
from conf.models import ModelSpec
from conf.runtime import Place


class PcaMethod(Frozen):
    """The first two components."""

    method: Literal["pca"] = "pca"


class UmapMethod(Frozen):
    """UMAP by umap-learn."""

    method: Literal["umap"] = "umap"
    neighbours: int = Field(default=15, ge=2)
    """A point counts as one of its own."""
    min_dist: float = Field(default=0.1, ge=0, le=1)
    start: Literal["spectral", "random"] = "spectral"


class TsneMethod(Frozen):
    """t-SNE by openTSNE."""

    method: Literal["tsne"] = "tsne"
    perplexity: float = Field(default=30.0, ge=1)
    """A third of the neighbours that each point is drawn to."""
    early_iterations: int = Field(default=250, ge=0)
    early_exaggeration: float = Field(default=12.0, ge=1)
    iterations: int = Field(default=300, ge=1)
    """After the early ones, at openTSNE's learning rate of one a point. 200 more lower the
    divergence of 17,000 points by 3 % and take as long as all before: the map grows, and with it
    the grid that repulsion is interpolated on."""


class PacmapMethod(Frozen):
    """PaCMAP by the package pacmap."""

    method: Literal["pacmap"] = "pacmap"
    neighbours: int = Field(default=10, ge=1)
    mid_near_ratio: float = Field(default=0.5, gt=0)
    further_ratio: float = Field(default=2.0, gt=0)


class LocalmapMethod(Frozen):
    """LocalMAP by the package pacmap."""

    method: Literal["localmap"] = "localmap"
    neighbours: int = Field(default=10, ge=1)
    mid_near_ratio: float = Field(default=0.5, gt=0)
    further_ratio: float = Field(default=2.0, gt=0)
    low_distance: float = Field(default=10.0, gt=0)
    """Further pairs that are nearer than this on the map are drawn anew."""


Method = Annotated[
    PcaMethod | UmapMethod | TsneMethod | PacmapMethod | LocalmapMethod,
    Field(discriminator="method"),
]


class PcaRecipe(Recipe):
    """Principal components, of the input `vectors`, and what each row says of itself."""

    kind: ClassVar[str] = "projection-pca"

    dims: int | None = Field(default=50, ge=1)
    """How many are kept; None keeps the vectors as they are."""
    unit: bool = False
    """Whether vectors are scaled to length 1 first, so that directions are compared."""


class GraphRecipe(Recipe):
    """Exact nearest neighbours, of the input `pca` or, in the vectors' own space, of `vectors`."""

    kind: ClassVar[str] = "projection-graph"

    neighbours: int = Field(ge=0)
    space: Literal["components", "vectors"] = "components"
    unit: bool = False
    """For `vectors`; components know it already."""


class MapRecipe(Recipe):
    """Coordinates, of the inputs `pca` and `graph`; of a refit also `parent`, where it starts."""

    kind: ClassVar[str] = "projection-coordinates"

    settings: Method
    library: str | None = None
    """The package that draws the map, such as "openTSNE==1.0.4"; None where it is ours."""
    seed: int = Field(default=0, ge=0)


class ExtensionRecipe(Recipe):
    """Coordinates of new rows on an old map, of the inputs `vectors`, `parent` (the old map) and
    `pca` (the components that it was made of)."""

    kind: ClassVar[str] = "projection-extension"

    neighbours: int = Field(default=10, ge=1)
    """How many old rows a new one is placed by."""


class TrustRecipe(Recipe):
    """How far to believe a map, of the inputs `vectors` and `coordinates`; for stability also
    `seed_1`, `seed_2`, ..., the maps of other seeds."""

    kind: ClassVar[str] = "projection-trust"

    neighbours: int = Field(default=10, ge=1)
    anchors: int = Field(default=2000, ge=2)
    """How many points are looked at, against all others."""
    seed: int = Field(default=0, ge=0)
    """Of the sample."""
    unit: bool = False
    """Whether vectors are compared by their directions."""


class PageRecipe(Recipe):
    """The page of a map, of the inputs `vectors`, `names` (by which its rows are called), where it
    shows them `pictures` and `diagnostics`, `coordinates`, `trust`, `nearest` and, joined by
    content, `column_1`, `column_2`, ..."""

    kind: ClassVar[str] = "projection-page"

    title: str
    atlas_limit_bytes: int = Field(default=24_000_000, ge=0)
    """How large the pictures inside the page may become together; 0 shows none."""


class VectorSource(Frozen):
    """Where vectors lie: a cache folder, a file, or an artifact. No path reaches a key."""

    path: Place | None = None
    """A folder with embeddings.pt, or a .npy, .pt or .parquet file."""
    column: str | None = None
    """Of a Parquet file: the column of vectors; None where there is one only."""
    artifact: str | None = None
    """The key or name of features that are in the store."""
    names: Place | None = None
    """Of a .npy or .pt file: a CSV or Parquet table that names its rows, in the same order."""
    images: Place | None = None
    """The folder that the names of files start in, for thumbnails."""

    @model_validator(mode="after")
    def _is_one(self) -> "VectorSource":
        if (self.path is None) == (self.artifact is None):
            raise ValueError("name either path, a cache folder or file, or artifact, features")
        return self


class MapSettings(Frozen):
    """How maps are made."""

    methods: tuple[Method, ...] = Field(default=(UmapMethod(),), min_length=1)
    pca_dim: int | None = Field(default=50, ge=1)
    """Components that methods work on; None: on the vectors themselves."""
    unit: bool = False
    seed: int = Field(default=0, ge=0)


class TrustSettings(Frozen):
    """How a map is judged."""

    neighbours: int = Field(default=10, ge=1)
    anchors: int = Field(default=2000, ge=2)
    seeds: int = Field(default=1, ge=1, le=20)
    """How many maps are compared for stability; 1 compares none."""


class PageSettings(Frozen):
    """What the page holds."""

    title: str | None = None
    atlas_limit_bytes: int = Field(default=24_000_000, ge=0)
    nearest: int = Field(default=10, ge=1)
    """How many neighbours a click shows."""
    diagnostics: bool = True
    """Whether it says what the features themselves are worth; that takes a minute for many."""
    columns: tuple[str, ...] = ()
    """Keys or names of labels and scores of the same images, to colour points by."""


class Growth(Frozen):
    """What becomes of an older map when there are more rows."""

    how: Literal["extend", "refit"]
    """ "extend" places new rows and moves none; "refit" draws it anew from where it was."""
    parent: str
    """The key or name of the older map's coordinates."""


class Preset(Frozen):
    """The settings of flow `projection`: maps of vectors, or of images by an encoder."""

    vectors: VectorSource | None = None
    source: AnySource | None = None
    """Images, when their features are to be made; then `model`, too."""
    model: ModelSpec | None = None
    map: MapSettings = MapSettings()
    trust: TrustSettings = TrustSettings()
    page: PageSettings = PageSettings()
    growth: Growth | None = None
    out: Place | None = None
    """Where coordinates and pages are written, too; None: only into the store, but for a cache
    folder, which is where they go."""
    out_prefix: str = Field(default="vis", pattern=r"^[\w.-]+$")
    overwrite: bool = False

    @model_validator(mode="after")
    def _knows_what(self) -> "Preset":
        if (self.vectors is None) == (self.source is None) or (
            (self.source is None) != (self.model is None)
        ):
            raise ValueError("name either vectors, or source and model")
        return self
