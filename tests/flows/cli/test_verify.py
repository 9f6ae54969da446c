import json
from pathlib import Path

import pytest

from flows.cli import main
from storage.store import ArtifactStore

Capsys = pytest.CaptureFixture[str]


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)


def labels_file(store: Path) -> Path:
    return next(store.glob("published/image-labels/*/parts/*/labels.parquet"))


def test_a_whole_store_is_said_to_be_whole(own_store: Path, capsys: Capsys) -> None:
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.startswith("4 of 4 artifacts are whole (")


def test_as_json_it_is_a_list_of_findings(own_store: Path, capsys: Capsys) -> None:
    assert main(["verify", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [finding["state"] for finding in found] == ["whole"] * 4
    assert {"name", "state", "reason", "size_bytes"} == found[0].keys()


def test_damage_is_named_quarantined_and_code_3(own_store: Path, capsys: Capsys) -> None:
    file = labels_file(own_store)
    flip_a_bit(file)
    assert main(["verify"]) == 3
    told = capsys.readouterr().out
    assert f"damaged: {file.parents[2].name}: parts/" in told
    assert "has other bytes than were written (BLAKE3 differs)" in told
    assert "dangling: small/labels: refers to " in told
    assert f"What is damaged was moved to {own_store / 'quarantine'}, with the reason." in told
    assert "Run the flows again: only what is damaged or gone is remade." in told
    assert not file.exists()


def test_damage_as_json_says_which_and_why(own_store: Path, capsys: Capsys) -> None:
    flip_a_bit(labels_file(own_store))
    assert main(["verify", "--json"]) == 3
    found = {f["name"]: f for f in json.loads(capsys.readouterr().out)}
    damaged = [f for f in found.values() if f["state"] == "damaged"]
    assert len(damaged) == 1
    assert "BLAKE3 differs" in damaged[0]["reason"]
    assert found["small/labels"]["state"] == "dangling"


def test_a_name_for_nothing_alone_moves_nothing(own_store: Path, capsys: Capsys) -> None:
    (own_store / "refs" / "small" / "lost").write_text("image-labels-v1-0000000000000000\n")
    (own_store / "refs" / "small" / "torn").write_text("image-la")
    assert main(["verify"]) == 3
    told = capsys.readouterr().out
    assert "dangling: small/lost: refers to image-labels-v1-0000000000000000, which is not" in told
    assert "dangling: small/torn: refers to image-la, which is not published" in told
    assert "quarantine" not in told


def test_a_manifest_that_is_gone_is_damage(own_store: Path, capsys: Capsys) -> None:
    (labels_file(own_store).parents[2] / "manifest.json").unlink()
    assert main(["verify"]) == 3
    assert "manifest.json is gone" in capsys.readouterr().out


def test_an_empty_store_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    monkeypatch.setenv("FEATUREMILL_STORE", str(tmp_path / "empty"))
    ArtifactStore(tmp_path / "empty")
    assert main(["verify"]) == 0
    assert capsys.readouterr().out == "0 of 0 artifacts are whole (0 B hashed).\n"
