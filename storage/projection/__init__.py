"""Maps on disk, the vectors that they are made of, and the seed's cache folders."""

from conf.projection import (
    ExtensionRecipe,
    GraphRecipe,
    MapRecipe,
    PageRecipe,
    PcaRecipe,
    TrustRecipe,
)
from storage.kinds import Kind
from storage.projection.atlas import export_page
from storage.projection.maps import MapFiles, open_page

__all__ = ["KINDS", "MapFiles"]

KINDS = (
    Kind(PcaRecipe.kind, open=MapFiles, part_rows=1),
    Kind(GraphRecipe.kind, open=MapFiles, part_rows=1),
    Kind(MapRecipe.kind, open=MapFiles, part_rows=1),
    Kind(ExtensionRecipe.kind, open=MapFiles, part_rows=1),
    Kind(TrustRecipe.kind, open=MapFiles, part_rows=1),
    Kind(PageRecipe.kind, open=open_page, part_rows=1, write_bundle=export_page),
)
