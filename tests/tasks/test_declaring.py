"""Flows and tasks are Prefect's; where nothing is done but plan, they are refused when called."""

import prefect
import pytest
from prefect.utilities import annotations

from flows.labels import label_photos
from tasks import checkpoint, declaring
from tasks.declaring import OnlyPlanned, Planned, only_plan
from tasks.images import encode_part


def test_flows_and_tasks_are_prefects() -> None:
    assert isinstance(label_photos, prefect.Flow)
    assert isinstance(encode_part, prefect.Task)


def test_where_prefect_is_imported_a_plan_changes_nothing() -> None:
    only_plan()
    assert declaring.flow is prefect.flow
    assert declaring.quote is annotations.quote
    assert declaring.part_task is checkpoint.part_task
    assert declaring.look_task is checkpoint.look_task


def test_what_is_only_planned_has_its_function_and_says_why_it_is_not_called() -> None:
    def halve(number: int) -> int:
        """Return half of `number`."""
        return number // 2

    planned = Planned(halve)
    assert planned.fn(4) == 2
    assert planned.__doc__ == "Return half of `number`."
    with pytest.raises(
        OnlyPlanned,
        match=r"halve of \S+ was called, but this process does nothing but plan, and has imported "
        r"it without Prefect\. Call it in another process; on the command line that is "
        r"`featuremill run`\.$",
    ):
        planned(4)


def test_a_name_that_declares_nothing_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match=r"'tasks\.declaring' has no attribute 'flows'"):
        declaring.flows  # noqa: B018
