"""Adapters of the model libraries, each imported only inside its loader."""
