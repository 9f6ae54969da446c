import json
from pathlib import Path

import pytest

from flows.cli import main
from storage.store import ArtifactStore

Capsys = pytest.CaptureFixture[str]


def test_as_json_it_is_the_manifest_and_the_place(own_store: Path, capsys: Capsys) -> None:
    assert main(["show", "--json", "small/features"]) == 0
    told = json.loads(capsys.readouterr().out)
    path = Path(told.pop("path"))
    manifest = json.loads((path / "manifest.json").read_text())
    assert told == {name: value for name, value in manifest.items() if name != "blake3"}


def test_people_are_told_recipe_inputs_files_and_how_to_open_it(
    own_store: Path, capsys: Capsys
) -> None:
    assert main(["show", "small/labels"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("image-labels-v1-")
    assert '  recipe  {"top": 2}' in told
    assert '  inputs  {"images": "image-features-v1-' in told
    assert "/labels.parquet  " in told
    assert 'open_artifact("small/labels")' in told


@pytest.mark.parametrize("letters", [15, 20, 40])
def test_the_start_of_a_key_is_enough(own_store: Path, capsys: Capsys, letters: int) -> None:
    key = next(str(k) for k in ArtifactStore(own_store).published() if k.kind == "image-features")
    assert main(["show", key[:letters]]) == 0
    assert capsys.readouterr().out.startswith(key)


def test_the_start_of_several_keys_is_not(own_store: Path, capsys: Capsys) -> None:
    assert main(["show", "image-"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("'image-' is the start of 2 keys: image-features-v1-")
    assert told.endswith("Write more of it.\n")


def test_an_unknown_name_names_the_nearest(own_store: Path, capsys: Capsys) -> None:
    assert main(["show", "small/lables"]) == 1
    assert capsys.readouterr().err == (
        f"{own_store} has no artifact 'small/lables'. Did you mean 'small/labels'? "
        "`featuremill ls` lists all.\n"
    )


def test_a_name_of_something_quarantined_says_so(own_store: Path, capsys: Capsys) -> None:
    store = ArtifactStore(own_store)
    key = store.resolve("small/labels").key
    file = next(store.folder(key).glob("parts/*/labels.parquet"))
    file.chmod(0o644)
    file.write_bytes(b"")
    said = (
        f"which {own_store} does not hold: it was never published here, or it was damaged and "
        "lies in quarantine now. Run its flow again.\n"
    )
    assert main(["show", key]) == 1
    assert capsys.readouterr().err == f"{key!r} means {key}, {said}"
    assert main(["show", "small/labels"]) == 1
    assert capsys.readouterr().err == f"'small/labels' means {key}, {said}"


def test_an_artifact_is_wanted(capsys: Capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["show"])
    assert ended.value.code == 2
    assert "the following arguments are required: key" in capsys.readouterr().err
