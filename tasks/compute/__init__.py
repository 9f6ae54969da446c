"""Pure arrays: no storage, no model, no Prefect."""
