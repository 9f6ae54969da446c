"""One settings model a source of rows, found by name: `conf/sources/<source>.py` holds `Source`."""
