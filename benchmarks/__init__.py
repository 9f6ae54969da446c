"""Measurements: each module times both sides in one run and ends with one line of JSON.

`python -m benchmarks.NAME --json` prints it; `make bench` runs all of them. A module whose name
begins with an underscore is a helper of the others and is not run.
"""
