import gc
import os
from importlib.metadata import version

import pytest

from conf.machine import collector_paused, cores, package_version
from conf.runtime import Runtime


def test_an_installed_package_has_its_version() -> None:
    assert package_version("pydantic") == version("pydantic")


def test_a_package_that_is_not_installed_has_none() -> None:
    assert package_version("no-such-package-as-this") is None


def test_only_cores_that_this_process_may_use_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert cores() == 3
    assert Runtime().lanes == 3


def test_without_affinity_all_cores_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_the_collector_is_paused_and_left_as_it_was() -> None:
    assert gc.isenabled()
    with collector_paused():
        with collector_paused():
            pass
        assert not gc.isenabled(), "the outer pause is not over"
    assert gc.isenabled()
