"""WHERE it is kept: the artifact store and its file formats. Knows no model and no Prefect."""
