"""The Prefect server of one command."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.settings.models.server.services import ServerServicesSettings

from flows import server
from flows.server import ServerMissing, prefect_server

_HOLD = """
import sys, time
from flows.server import prefect_server
with prefect_server() as address:
    print(address, flush=True)
    time.sleep(60)
"""


def test_a_configured_server_is_used_and_none_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_start", None)
    monkeypatch.setattr(server, "answers", lambda address: True)
    address = "http://127.0.0.1:4200/api"
    with temporary_settings({PREFECT_API_URL: address}), prefect_server() as used:
        assert used == address


_PROFILE = """
import sys
from flows import server

started = []
begin = server._start
server._start = lambda port: started.append(begin(port)) or started[0]
server.answers = lambda address: True
with server.prefect_server() as address:
    print(address, len(started), started[0].wait())
"""


def test_a_server_that_a_file_names_is_used_and_the_one_begun_before_is_ended(
    tmp_path: Path,
) -> None:
    (tmp_path / "prefect.toml").write_text('[api]\nurl = "http://127.0.0.1:4200/api"\n')
    env = os.environ | {"PYTHONPATH": str(Path(server.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", _PROFILE], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.stdout.split() == ["http://127.0.0.1:4200/api", "1", "-9"], done.stderr


def test_what_is_done_meanwhile_is_done_before_a_server_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []
    monkeypatch.setattr(server, "_start", lambda port: subprocess.Popen([sys.executable, "-V"]))
    monkeypatch.setattr(server, "_wait", lambda process, address: order.append("answers"))
    unset = temporary_settings(restore_defaults={PREFECT_API_URL})
    with unset, prefect_server(meanwhile=lambda: order.append("meanwhile")):
        order.append("run")
    assert order == ["meanwhile", "answers", "run"]


def test_a_configured_server_that_is_silent_is_an_error_that_names_it() -> None:
    silent = temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"})
    error = pytest.raises(ServerMissing, match=r"names http://127\.0\.0\.1:9/api, and no Prefect")
    with silent, error, prefect_server():
        pass


def test_a_server_that_does_not_start_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        server,
        "_start",
        lambda port: subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"]),
    )
    unset = temporary_settings(restore_defaults={PREFECT_API_URL})
    with (
        unset,
        pytest.raises(ServerMissing, match=r"code 7\. Start one to see why"),
        prefect_server(),
    ):
        pass


def test_the_server_of_one_command_schedules_nothing_and_writes_events_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in server._LEAN.items():
        monkeypatch.setenv(name, value)
    services = ServerServicesSettings()
    assert not any(
        one.enabled
        for one in (
            services.scheduler,
            services.late_runs,
            services.foreman,
            services.cancellation_cleanup,
            services.pause_expirations,
        )
    )
    assert services.triggers.enabled, "automations are the user's"
    assert services.event_persister.read_batch_size == 100


def test_no_call_is_tried_again_while_a_server_has_been_silent_for_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(server, "_LOOK_SECONDS", 0.01)
    answering = iter([True, *[False] * 20])
    is_up = [True]
    monkeypatch.setattr(server, "answers", lambda address: is_up[0] and next(answering, True))
    retries = PREFECT_CLIENT_MAX_RETRIES.value()
    assert retries > 0
    with server._patient("http://127.0.0.1:9/api"):
        becomes(0)
        becomes(retries)  # it is back
        is_up[0] = False
        becomes(0)
        assert not server.is_back("http://127.0.0.1:9/api"), "it is not waited for again"
    assert PREFECT_CLIENT_MAX_RETRIES.value() == retries


def becomes(retries: int) -> None:
    """Return when Prefect's client would try a call again so many times."""
    deadline = time.monotonic() + 10
    while PREFECT_CLIENT_MAX_RETRIES.value() != retries:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_server_that_is_being_restarted_is_waited_for_and_the_user_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering = iter([False, False, True])
    monkeypatch.setattr(server, "answers", lambda address: next(answering))
    assert server.is_back("http://127.0.0.1:9/api")
    told = "The Prefect server at http://127.0.0.1:9/api does not answer; waiting for it to come"
    assert capsys.readouterr().err.count(told) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl(2) is Linux's")
def test_the_server_dies_with_a_killed_run(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    environment["PREFECT_HOME"] = str(tmp_path / "prefect")
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert holder.stdout is not None
    address = holder.stdout.readline().strip()
    with urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
        assert answer.status == 200
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and answers(address):
        time.sleep(0.2)
    assert not answers(address)


def answers(address: str) -> bool:
    """Whether something answers at `address`."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2):
            return True
    except OSError:
        return False
