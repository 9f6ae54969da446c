"""HOW it is made: thin Prefect tasks over pure code (compute), model adapters (models) and the
store."""
