"""The page of a map: one HTML file that needs nothing else."""

from tasks.pages.maps.page import ATLAS_LIMIT_BYTES, render_map
from tasks.pages.maps.view import Categories, Column, MapView, Numbers

__all__ = ["ATLAS_LIMIT_BYTES", "Categories", "Column", "MapView", "Numbers", "render_map"]
