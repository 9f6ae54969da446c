import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from conf.runtime import Runtime


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FEATUREMILL_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("FEATUREMILL_MODELS", "~/weights")
    monkeypatch.setenv("FEATUREMILL_ROOTS", os.pathsep.join([str(tmp_path), "photos", ""]))
    runtime = Runtime()
    assert runtime.store == tmp_path / "store"
    assert runtime.models == Path.home() / "weights"
    assert runtime.roots == (tmp_path, Path.cwd() / "photos")


def test_without_environment_the_store_is_beside_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FEATUREMILL_STORE", "FEATUREMILL_MODELS", "FEATUREMILL_ROOTS"):
        monkeypatch.setenv(name, "")  # empty is as good as unset
    runtime = Runtime()
    assert runtime.store == Path.cwd() / "featuremill-store"
    assert runtime.models == Path.home() / ".cache" / "featuremill" / "models"
    assert runtime.roots == ()


def test_places_in_a_preset_become_absolute() -> None:
    runtime = Runtime.model_validate_json('{"store": "~/store", "roots": ["photos"]}')
    assert runtime.store == Path.home() / "store"
    assert runtime.roots == (Path.cwd() / "photos",)


@pytest.mark.parametrize("field", ["batch_size", "lanes", "part_rows", "workers"])
def test_counts_are_at_least_one(field: str) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Runtime.model_validate({field: 0})


def test_by_default_one_part_is_made_at_a_time_by_a_lane_a_core() -> None:
    runtime = Runtime()
    assert runtime.workers == 1
    assert 1 <= runtime.lanes <= (os.cpu_count() or 1)
