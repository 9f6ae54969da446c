"""Readers of foreign formats: one module a source of rows, and the decoder of image bytes."""
