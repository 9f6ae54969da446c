"""`featuremill serve`, as its own process."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from conf.runtime import Runtime
from flows.web.server import PortTaken, listen, serve
from storage.errors import StoreError

_COMMAND = [sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main())"]


def test_it_tells_its_address_serves_and_ends_with_ctrl_c(small_store: Path) -> None:
    command = [*_COMMAND, "serve", "--json", "--port", "0", "--store", str(small_store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as server:
        try:
            assert server.stdout is not None
            told = json.loads("".join(next(server.stdout) for _ in range(4)))
            assert told["store"] == str(small_store)
            with urlopen(told["address"], timeout=30) as answer:
                assert b"<b>4</b>" in answer.read()
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=30) == 0
        finally:
            server.kill()


def test_only_the_loopback_is_listened_on() -> None:
    with listen(0) as found:
        assert found.getsockname()[0] == "127.0.0.1"


def test_a_taken_port_is_told_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=r"is taken.*featuremill serve --port 0"):
            listen(port)


def test_a_directory_without_a_store_is_not_made_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no artifact store"):
        serve(Runtime(store=tmp_path / "none"), 0, print)
    assert not (tmp_path / "none").exists()
