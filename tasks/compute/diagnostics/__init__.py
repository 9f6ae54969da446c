"""Diagnostics of features: what they know of the labels, which rows leak, which labels to doubt."""
