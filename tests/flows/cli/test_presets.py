import json

import pytest

from conf.load import PRESETS, known_presets
from flows.cli import main


def test_every_preset_stands_with_its_description(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, description in known_presets().items():
        assert any(line.startswith(name) and line.endswith(description) for line in lines)


def test_it_says_where_they_lie_and_how_one_runs_a_copy(capsys: pytest.CaptureFixture[str]) -> None:
    main(["presets"])
    told = capsys.readouterr().out
    assert f"They lie in {PRESETS};" in told
    assert "featuremill run mine.toml" in told


def test_as_json_it_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == known_presets()
