"""WHAT to make: frozen recipes, artifact keys, presets. Knows the standard library and pydantic."""
