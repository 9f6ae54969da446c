"""Technical quality of a photograph: arrays in, numbers out."""
