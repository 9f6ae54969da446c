from pathlib import Path

import pytest

from storage.steps import observed_by, step

PLACE = Path("part")


def test_a_step_is_told_before_it_happens_and_after_it_succeeded() -> None:
    told: list[object] = []
    with observed_by(lambda *what: told.append(what)), step("write", PLACE):
        told.append("it happens")
    assert told == [("before", "write", PLACE), "it happens", ("after", "write", PLACE)]


def test_a_step_that_failed_is_not_told_as_done() -> None:
    told: list[str] = []

    def fail() -> None:
        with observed_by(lambda moment, *what: told.append(moment)), step("write", PLACE):
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        fail()
    assert told == ["before"]


def test_nobody_observes_any_more_when_the_context_is_left() -> None:
    told: list[object] = []
    with observed_by(lambda *what: told.append(what)):
        pass
    with step("write", PLACE):
        pass
    assert told == []
