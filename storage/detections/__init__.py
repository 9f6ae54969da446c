"""Detections on disk: parts, the database over them, and what may be asked of both."""
