"""What every test stands on: no network, nothing of the user's, one Prefect server."""

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

# Set before any library that looks is imported. The home is a fresh one, so that no profile, cache
# or settings file of the user decides a test.
_HOME = Path(tempfile.mkdtemp(prefix="featuremill-tests-"))
os.environ |= {
    "DO_NOT_TRACK": "1",
    "FEATUREMILL_MODELS": str(_HOME / "models"),
    "FEATUREMILL_STORE": str(_HOME / "store"),
    "HF_HOME": str(_HOME / "huggingface"),
    "HF_HUB_OFFLINE": "1",
    "MPLCONFIGDIR": str(_HOME / "matplotlib"),
    "PREFECT_HOME": str(_HOME / "prefect"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TORCH_HOME": str(_HOME / "torch"),
    "YOLO_CONFIG_DIR": str(_HOME / "ultralytics"),
    "YOLO_OFFLINE": "true",
}
for _name in ("FEATUREMILL_ROOTS", "PREFECT_API_KEY", "PREFECT_API_URL", "PREFECT_PROFILE"):
    os.environ.pop(_name, None)

_BROWSER_PROGRAMS = ("chromium", "chromedriver")


@pytest.fixture(scope="session")
def prefect_harness() -> Iterator[None]:
    """Run flows against one temporary Prefect server: it takes seconds to start, so once a session.

    Only tests of flows and of retries ask for it; `task.fn(...)` needs no server.
    """
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run, and say what it lacks."""
    if item.get_closest_marker("browser"):
        missing = [name for name in _BROWSER_PROGRAMS if shutil.which(name) is None]
        if missing:
            pytest.skip(f"no {' and no '.join(missing)}: apt-get install chromium chromium-driver")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a skipped browser test where FEATUREMILL_REQUIRE_BROWSER=1 says that none may be."""
    report = yield
    required = os.environ.get("FEATUREMILL_REQUIRE_BROWSER") == "1"
    if required and item.get_closest_marker("browser") and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"FEATUREMILL_REQUIRE_BROWSER=1, but this test was skipped. {reason}"
    return report


def pytest_unconfigure() -> None:
    """Remove the tests' own home."""
    shutil.rmtree(_HOME, ignore_errors=True)
