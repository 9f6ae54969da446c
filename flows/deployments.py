"""Deployments: `prefect.yaml`, written from the flows that are there.

`python -m flows.deployments` writes it anew when a flow has come, gone or changed its name.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow

import flows

ROOT = Path(flows.__file__).parents[1]
FILE = ROOT / "prefect.yaml"
POOL = "featuremill"
HEADER = """\
# Written by `python -m flows.deployments` from the flows in flows/; docs/deployments.md says how to
# use it. There is no `pull` here: `prefect deploy` then records set_working_directory with the
# directory that it was called in, and workers run the flows from there.
"""


def known_flows() -> Iterator[tuple[str, str, Flow[..., Any]]]:
    """Yield every flow that a module of `flows` defines: its module's stem, its function's name,
    itself."""
    for found in pkgutil.iter_modules(flows.__path__):
        module = importlib.import_module(f"flows.{found.name}")
        for name, value in vars(module).items():
            if not isinstance(value, Flow) or value.fn.__module__ != module.__name__:
                continue
            if name == value.fn.__name__:  # not FLOW, its other name
                yield found.name, name, value


def deployments() -> list[dict[str, Any]]:
    """Return the deployments of all flows, as prefect.yaml spells them."""
    return [_deployment(*known) for known in known_flows()]


def _deployment(stem: str, function: str, found: Flow[..., Any]) -> dict[str, Any]:
    module = importlib.import_module(f"flows.{stem}")
    more: dict[str, Any] = getattr(module, "DEPLOYED", {}).get(function, {})
    plain = {
        "name": "manual",
        "entrypoint": f"flows/{stem}.py:{function}",
        "description": " ".join((found.description or "").partition("\n\n")[0].split()),
        "tags": ["featuremill", stem],
        "parameters": {},
        "enforce_parameter_schema": True,
        "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
        "work_pool": {"name": POOL, "work_queue_name": "default", "job_variables": {}},
    }
    return plain | more


def flow_name(deployment: dict[str, Any]) -> str:
    """Return the name of the flow that a deployment runs."""
    path, _, function = deployment["entrypoint"].partition(":")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    return str(getattr(module, function).name)


def content() -> str:
    """Return the text that prefect.yaml must have."""
    said = {"name": "featuremill", "deployments": deployments()}
    text: str = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)
    return HEADER + text


if __name__ == "__main__":
    FILE.write_text(content(), encoding="utf-8")
    print(f"{FILE}: {len(deployments())} deployments")
