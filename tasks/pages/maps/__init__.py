"""The page of a map: one HTML file that needs nothing else."""
