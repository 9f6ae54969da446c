"""Run by themselves, the notebooks leave the user's store and Prefect profile alone."""

import os
import shutil
import tempfile
from pathlib import Path

# As in tests/conftest.py, which comes first when the whole suite runs and is then left in charge.
_HOME = Path(tempfile.mkdtemp(prefix="featuremill-notebooks-"))
for _name, _value in {
    "DO_NOT_TRACK": "1",
    "FEATUREMILL_STORE": str(_HOME / "store"),
    "HF_HUB_OFFLINE": "1",
    "PREFECT_HOME": str(_HOME / "prefect"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}.items():
    os.environ.setdefault(_name, _value)


def pytest_unconfigure() -> None:
    """Remove the notebooks' own home."""
    shutil.rmtree(_HOME, ignore_errors=True)
