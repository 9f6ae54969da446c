"""`featuremill presets`: what can be run as it is."""

import argparse

from conf.load import PRESETS, known_presets
from flows.cli import DONE, print_json

HELP = "list the presets that ship with featuremill"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: there is one list."""


def run(given: argparse.Namespace) -> int:
    """Print the shipped presets."""
    found = known_presets()
    if given.json:
        print_json(found)
        return DONE
    width = max(map(len, found))
    for name, description in found.items():
        print(f"{name.ljust(width)}  {description}")
    print(
        f"\nThey lie in {PRESETS}; copy one, change it, and run the copy: featuremill run mine.toml"
    )
    return DONE
