"""`featuremill deployments`: what a Prefect server can run, and what is still to be done there."""

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

from conf.errors import WorldError
from flows.cli import DONE, print_json

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

HELP = "list the deployments of prefect.yaml, and what the Prefect server lacks to run them"
_MOST = 200
"""Of flows and deployments, what one question to the server returns."""


class NotReady(WorldError):
    """No server is named or answers, or it lacks the work pool: no deployment can run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --offline."""
    parser.add_argument("--offline", action="store_true", help="only list them: ask no server")


def run(given: argparse.Namespace) -> int:
    """List the deployments; say what the server lacks."""
    from flows.deployments import POOL, deployments
    from tasks.pages.tables import as_text

    rows = [_told(one) for one in deployments()]
    lacks = [] if given.offline else asyncio.run(_ask(rows, POOL))
    if given.json:
        print_json({"deployments": rows, "lacks": lacks})
        return DONE
    header = ("deployment", "flow", "schedule", "started by", "on the server")
    print(as_text(header, [tuple(row[name] for name in header) for row in rows]))
    for sentence in lacks:
        print(f"\n{sentence}")
    return DONE


def _told(one: dict[str, Any]) -> dict[str, str]:
    from flows.deployments import flow_name

    events = [event for trigger in one.get("triggers", ()) for event in trigger["expect"]]
    return {
        "deployment": f"{flow_name(one)}/{one['name']}",
        "flow": one["entrypoint"],
        "schedule": ", ".join(schedule["cron"] for schedule in one.get("schedules", ())),
        "started by": ", ".join(events),
        "on the server": "not asked",
    }


async def _ask(rows: list[dict[str, str]], pool: str) -> list[str]:
    """Fill in what the server has, and return what to do next, a sentence each."""
    from prefect.client.orchestration import get_client

    address = _address()
    async with get_client() as client:
        await _check_pool(client, pool, address)
        flows = {flow.id: flow.name for flow in await client.read_flows(limit=_MOST)}
        there = await client.read_deployments(limit=_MOST)
        workers = await client.read_workers_for_work_pool(pool)
    names = {f"{flows.get(one.flow_id)}/{one.name}" for one in there}
    for row in rows:
        row["on the server"] = "yes" if row["deployment"] in names else "no"
    missing = sum(row["on the server"] == "no" for row in rows)
    said = []
    if missing:
        said.append(
            f"{missing} of {len(rows)} are not on {address} yet: prefect --no-prompt deploy --all"
        )
    if not any(worker.status == "ONLINE" for worker in workers):
        said.append(f"No worker asks for runs: prefect worker start --pool {pool}")
    return said


def _address() -> str:
    from prefect.settings import PREFECT_API_URL

    from flows.server import answers, silent

    address = str(PREFECT_API_URL.value() or "")
    if not address:
        raise NotReady(
            "No Prefect server is named. Start one, `prefect server start --host 127.0.0.1`, and "
            "name it: export PREFECT_API_URL=http://127.0.0.1:4200/api. Without one: "
            "`featuremill deployments --offline`."
        )
    if not answers(address):
        raise NotReady(f"{silent(address)}.")
    return address


async def _check_pool(client: "PrefectClient", pool: str, address: str) -> None:
    known = sorted(found.name for found in await client.read_work_pools(limit=_MOST))
    if pool not in known:
        raise NotReady(
            f"The Prefect server at {address} has no work pool {pool!r}; it has "
            f"{', '.join(known) or 'none'}. Make it, deploy, and start a worker:\n"
            f"  prefect work-pool create {pool} --type process\n"
            "  prefect --no-prompt deploy --all\n"
            f"  prefect worker start --pool {pool}"
        )
