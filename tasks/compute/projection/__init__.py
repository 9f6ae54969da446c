"""Maps as pure arrays: components, neighbours, coordinates, and how far to believe them."""
