"""Generators of synthetic scenes and texts: seeded, so that the same call makes the same."""
