"""Masks and scores of detections, as arrays."""
