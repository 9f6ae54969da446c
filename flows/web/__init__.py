"""The home page: a read-only server over one store, for this machine alone."""
