from collections import namedtuple
from importlib.metadata import version
from pathlib import Path

import pytest

from conf.runtime import Runtime
from storage.store import ArtifactStore
from tasks import doctor
from tasks.doctor import check_disk, check_packages, check_store, examine

Usage = namedtuple("Usage", "total used free")


def test_a_store_that_is_not_there_yet_is_no_trouble_and_is_not_made(tmp_path: Path) -> None:
    check = check_store(tmp_path / "store")
    assert (check.remedy, "the first run makes it" in check.found) == ("", True)
    assert not (tmp_path / "store").exists()


def test_a_store_is_told_by_its_uuid(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    assert store.uuid[:8] in check_store(tmp_path).found


def test_somebody_elses_directory_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    assert "it has no store.json" in check_store(tmp_path).remedy


def test_a_store_of_another_format_is_told(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text('{"format": 0, "uuid": "x"}')
    assert "is a store of format 0" in check_store(tmp_path).remedy


def test_a_read_only_store_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ArtifactStore(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    check = check_store(tmp_path)
    assert "nothing can be made" in check.remedy
    assert "--store or FEATUREMILL_STORE" in check.remedy


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**12, 10**12, 10**8))
    check = check_disk(tmp_path / "store")
    assert check.found == "0.1 of 1000.0 GB free"
    assert "Free some, or move the store" in check.remedy


def test_the_packages_of_this_project_fit() -> None:
    (shown,) = check_packages()
    assert f"prefect {version('prefect')}" in shown.found


@pytest.mark.parametrize("wanted", ["prefect<3", "a-package-that-nobody-wrote"])
def test_a_package_that_does_not_fit_is_told_with_the_command_that_helps(
    wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "requires", lambda name: [wanted, 'ray; extra == "ray"'])
    _, wrong = check_packages()
    assert f"featuremill needs {wanted};" in wrong.remedy
    assert "pip install -c constraints.txt" in wrong.remedy


def test_a_root_that_is_gone_is_told(tmp_path: Path) -> None:
    runtime = Runtime(store=tmp_path, models=tmp_path, roots=(tmp_path, tmp_path / "gone"))
    wrong = [check for check in examine(runtime) if check.remedy]
    assert [check.found for check in wrong] == [str(tmp_path / "gone")]
