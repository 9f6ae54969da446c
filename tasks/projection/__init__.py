"""Maps: tasks that make components, graphs, coordinates, trust and pages."""
