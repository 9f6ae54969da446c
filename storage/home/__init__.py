"""What the home page shows of a store: everything here is read, nothing written."""

from storage.home.lineage import Lineage, Node, lineage
from storage.home.view import StoreView

__all__ = ["Lineage", "Node", "StoreView", "lineage"]
