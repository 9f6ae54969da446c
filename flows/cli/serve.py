"""`featuremill serve`: the home page of a store, for the browser on this machine."""

import argparse
import sys

from flows.cli import DONE, print_json, runtime_of

HELP = "show the store in a browser on this machine: artifacts, lineage, reports, images, search"
PORT = 8765


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the port."""
    parser.add_argument(
        "--port", type=int, default=PORT, help=f"the port of 127.0.0.1 ({PORT}); 0 takes a free one"
    )


def run(given: argparse.Namespace) -> int:
    """Serve until Ctrl-C; nothing is written, and no other machine can ask."""
    from flows.web.server import serve

    runtime = runtime_of(given)

    def told(address: str) -> None:
        if given.json:
            print_json({"address": address, "store": str(runtime.store)})
        else:
            print(f"{runtime.store} is shown at {address}\nCtrl-C ends it.")
        sys.stdout.flush()

    serve(runtime, given.port, told)
    return DONE
