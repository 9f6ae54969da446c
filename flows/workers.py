"""What a Dask worker does before it works: `dask worker ADDRESS --preload flows.workers`."""

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C to the run.

    Workers that a run has started share its terminal, and would die of the Ctrl-C that is to let
    them seal their parts. They end with the run, however that ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
