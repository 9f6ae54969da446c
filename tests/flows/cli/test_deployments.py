"""`featuremill deployments`: what is missing is named, with the command that makes it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cli import main
from flows.deployments import POOL, deployments


def asked(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    """Return the exit code, and all that was said."""
    code = main(["deployments", *flags])
    told = capsys.readouterr()
    return code, told.out + told.err


@contextmanager
def work_pool() -> Iterator[None]:
    """Let the server have the pool of prefect.yaml meanwhile."""

    async def make() -> None:
        async with get_client() as client:
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))

    async def remove() -> None:
        async with get_client() as client:
            await client.delete_work_pool(POOL)

    asyncio.run(make())
    try:
        yield
    finally:
        asyncio.run(remove())


def test_without_a_server_the_command_that_starts_one_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        code, told = asked(capsys)
    assert code == 1
    assert told.startswith("No Prefect server is named. Start one, `prefect server start")
    assert "export PREFECT_API_URL=http://127.0.0.1:4200/api" in told


def test_a_server_that_does_not_answer_is_named_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        code, told = asked(capsys)
        listed, table = asked(capsys, "--offline")
    assert code == 1
    assert told == (
        "PREFECT_API_URL names http://127.0.0.1:9/api, and no Prefect server answers there. "
        "Start it: `prefect server start --host 127.0.0.1 --port 9`.\n"
    )
    assert listed == 0
    assert "reprocess/scheduled" in table


@pytest.mark.usefixtures("prefect_harness")
def test_a_missing_pool_is_an_error_and_a_missing_worker_or_deployment_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, told = asked(capsys)
    assert code == 1
    assert f"has no work pool {POOL!r}; it has none. Make it, deploy, and start a worker:" in told
    assert f"  prefect work-pool create {POOL} --type process\n" in told
    with work_pool():
        code, told = asked(capsys)
    count = len(deployments())
    assert code == 0
    assert f"{count} of {count} are not on http://" in told
    assert f"No worker asks for runs: prefect worker start --pool {POOL}" in told
