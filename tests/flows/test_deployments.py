"""Deployments: every flow has one, its settings are checked before it runs."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prefect.events import DeploymentEventTrigger
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from flows.deployments import FILE, POOL, content, known_flows
from flows.images import image_features
from flows.photos import features_trigger
from flows.reprocess import inbox_trigger

TOY = {"family": "toy", "precision": "fp32"}
WRITTEN: dict[str, Any] = yaml.safe_load(FILE.read_text())
DEPLOYMENTS = {one["entrypoint"]: one for one in WRITTEN["deployments"]}


def test_prefect_yaml_is_what_the_flows_say() -> None:
    told = "prefect.yaml is not what the flows say; write it anew: python -m flows.deployments"
    assert FILE.read_text() == content(), told


def test_every_flow_has_a_deployment_in_the_pool_with_tags_and_a_limit() -> None:
    for stem, function, flow in known_flows():
        found = DEPLOYMENTS[f"flows/{stem}.py:{function}"]
        assert found["description"]
        assert found["tags"] == ["featuremill", stem]
        assert found["work_pool"]["name"] == POOL
        assert found["concurrency_limit"]["limit"] >= 1
        assert found["enforce_parameter_schema"] is True
        assert set(found["parameters"]) <= set(parameter_schema(flow).properties)
    assert {"flows/images.py:image_features", "flows/deployed.py:run_preset"} <= set(DEPLOYMENTS)


def test_reprocessing_is_scheduled_and_never_piles_up() -> None:
    found = DEPLOYMENTS["flows/reprocess.py:reprocess"]
    (schedule,) = found["schedules"]
    assert schedule["active"] is True
    assert schedule["cron"]
    assert found["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


def test_events_start_what_waits_for_them() -> None:
    waiting = {
        entrypoint: DeploymentEventTrigger.model_validate(trigger)
        for entrypoint, found in DEPLOYMENTS.items()
        for trigger in found.get("triggers", ())
    }
    assert waiting == {
        "flows/photos.py:features_of_batch": features_trigger(),
        "flows/reprocess.py:reprocess": DeploymentEventTrigger.model_validate(inbox_trigger()),
    }


def presets() -> Iterator[Any]:
    yield {"source": {"source": "folder", "root": "photos"}, "model": TOY}, None
    yield {"source": {"source": "digits", "limit": 3}, "model": TOY, "tokens": True}, None
    yield {"source": {"source": "folder", "rot": "x"}, "model": TOY}, "preset.source.*'rot' was"
    yield {"source": {"source": "folder"}, "model": TOY}, "preset.source.*'root' is a required"
    yield {"source": {"source": "digts"}, "model": TOY}, "preset.source.source.*'digts' is not one"
    yield {"source": {"source": "digits"}, "model": TOY, "tokns": True}, "preset.*'tokns' was unex"
    yield {"source": {"source": "digits"}, "model": TOY | {"precision": "fp8"}}, "model.precision"


@pytest.mark.parametrize(("preset", "refusal"), list(presets()))
def test_the_schema_of_a_flow_takes_right_settings_and_names_the_wrong_field(
    preset: dict[str, Any], refusal: str | None
) -> None:
    schema = parameter_schema(image_features).model_dump()
    if refusal is None:
        validate({"preset": preset}, schema, raise_on_error=True)
    else:
        with pytest.raises(ValidationError, match=refusal):
            validate({"preset": preset}, schema, raise_on_error=True)
