"""Measurements: each module times both sides in one run and ends with one line of JSON.

`python -m benchmarks.NAME --json` prints it; `make bench` runs all of them. A module whose name
begins with an underscore is a helper of the others and is not run.
"""

import atexit
import os
import shutil
import sys
import tempfile

_APART = "FEATUREMILL_BENCHMARK_APART"

if sys.argv[0] == "-m" and _APART not in os.environ:
    # `python -m` imports this first. Prefect reads its settings once, when it is imported: no
    # server, profile or network of the user is touched, nor by processes that a measurement starts.
    _home = tempfile.mkdtemp(prefix="benchmark-prefect-")
    atexit.register(shutil.rmtree, _home, ignore_errors=True)
    os.environ.pop("PREFECT_API_URL", None)
    os.environ |= {
        _APART: "1",
        "PREFECT_HOME": _home,
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
    }
