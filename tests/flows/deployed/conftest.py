"""A Prefect server, and whatever else a test starts beside it: processes as users start them."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[3]


class Served:
    """A server on loopback with a home of its own, and the processes that a test has started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}/api"
        self.environment = os.environ | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.address,
            "PREFECT_LOGGING_LEVEL": "INFO",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "FEATUREMILL_STORE": str(folder / "store"),
        }
        self._running: list[subprocess.Popen[bytes]] = []
        self.server: subprocess.Popen[bytes] | None = None

    def begin(self, command: str) -> subprocess.Popen[bytes]:
        """Start a command as a user would in a terminal of its own; its output goes to a file."""
        words = command.replace("4200", str(self.port)).split()
        with (self.folder / f"{words[1]}.log").open("ab") as log:
            process = subprocess.Popen(
                words,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def call(self, *words: str) -> str:
        """Run a command to its end, and return what it printed; a failure fails the test."""
        done = subprocess.run(
            words, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def begin_server(
        self, command: str = "prefect server start --host 127.0.0.1 --port 4200"
    ) -> None:
        """Start the server, and wait until it answers."""
        self.server = self.begin(command)
        wait_until(self._answers, seconds=90, what="the server answers")

    def kill_server(self) -> None:
        """End the server at once."""
        assert self.server
        end(self.server, signal.SIGKILL)

    def end(self) -> None:
        """End everything that was started, newest first."""
        for process in reversed(self._running):
            end(process, signal.SIGTERM)

    def log(self, name: str) -> str:
        """Return what the processes of that name have printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End a process and its children."""
    if process.poll() is None:
        os.killpg(process.pid, how)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(is_so: Callable[[], object], *, seconds: float, what: str) -> None:
    """Return when `is_so()`; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_so():
            return
        time.sleep(0.1)
    pytest.fail(f"after {seconds} s it was still not so that {what}")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield a server that was started as docs/deployments.md says; everything is ended after."""
    served = Served(tmp_path_factory.mktemp("served"))
    try:
        served.begin_server()
        yield served
    finally:
        served.end()
