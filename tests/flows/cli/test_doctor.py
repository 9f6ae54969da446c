import json
from pathlib import Path

import pytest

from flows.cli import DONE, FAILED, WRONG, main


def test_a_sound_machine_is_told_line_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--store", str(tmp_path / "store")]) == DONE
    told = capsys.readouterr().out
    for name in ("store", "disk", "models", "python", "packages", "devices", "prefect"):
        assert f"ok  {name} " in told


def test_trouble_is_told_with_what_to_do_and_the_exit_code_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "holiday.jpg").touch()
    assert main(["doctor", "--store", str(tmp_path)]) == FAILED
    told = capsys.readouterr().out
    assert "WRONG  store" in told
    assert "Name another directory with --store or FEATUREMILL_STORE" in told


def test_json_is_a_list_of_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--store", str(tmp_path), "--json"]) == DONE
    checks = json.loads(capsys.readouterr().out)
    assert [set(check) for check in checks] == [{"name", "found", "remedy"}] * len(checks)


@pytest.mark.parametrize("kills", ["0", "-3", "many"])
def test_a_kill_test_of_no_deaths_is_refused(
    kills: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_code:
        main(["doctor", "--kill-test", kills])
    assert exit_code.value.code == WRONG
    assert "--kill-test" in capsys.readouterr().err
