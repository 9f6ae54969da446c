"""A bit flipped or a file cut, in any published file: found, quarantined, remade."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from conf.keys import ArtifactKey
from flows.cli import DAMAGED, DONE, main
from storage.checksums import FileSum
from storage.images import ImageFeatures
from storage.store import Artifact, ArtifactStore
from storage.verify import verify

ROWS = range(5)
# What `features` publishes of five rows in parts of three.
FILES = [
    "manifest.json",
    *(
        f"parts/PART{part}{file}"
        for part in (0, 1)
        for file in (".json", "/features.h5", "/tokens.h5")
    ),
]


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    replace(path, bytes(data))


def flip_the_last_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    replace(path, bytes(data))


def cut(path: Path) -> None:
    replace(path, path.read_bytes()[:-1])


def empty(path: Path) -> None:
    replace(path, b"")


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path, data: bytes) -> None:
    """Write in place, as a failing disk does: hard links keep sharing the file."""
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


HARMS = {harm.__name__: harm for harm in (flip_a_bit, flip_the_last_bit, cut, empty, remove)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, features_in: Any) -> tuple[Path, Artifact]:
    """Return a store with one small artifact: every test gets a copy."""
    path = tmp_path_factory.mktemp("made") / "store"
    return path, features_in(ArtifactStore(path)).make(ROWS)


@pytest.fixture
def store(tmp_path: Path, made: tuple[Path, Artifact]) -> ArtifactStore:
    shutil.copytree(made[0], tmp_path / "store")
    return ArtifactStore(tmp_path / "store", create=False)


@pytest.fixture
def artifact(made: tuple[Path, Artifact]) -> Artifact:
    return made[1]


def path_of(store: ArtifactStore, artifact: Artifact, file: str) -> Path:
    for part in (0, 1):
        file = file.replace(f"PART{part}", f"{artifact.key}.{part:05d}")
    return store.path_of(artifact) / file


def test_the_list_above_names_every_published_file(
    store: ArtifactStore, artifact: Artifact
) -> None:
    folder = store.path_of(artifact)
    found = {path for path in folder.rglob("*") if path.is_file()}
    assert found == {path_of(store, artifact, file) for file in FILES}


def test_published_files_are_read_only(store: ArtifactStore, artifact: Artifact) -> None:
    modes = {path_of(store, artifact, file).stat().st_mode & 0o777 for file in FILES}
    assert modes == {0o444}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("harm", HARMS)
def test_damage_is_found_quarantined_and_remade_from_the_sound_parts(
    store: ArtifactStore,
    artifact: Artifact,
    features: Any,
    capsys: pytest.CaptureFixture[str],
    file: str,
    harm: str,
) -> None:
    HARMS[harm](path_of(store, artifact, file))
    assert main(["verify", "--store", str(store.path)]) == DAMAGED
    assert f"damaged: {artifact.key}: " in capsys.readouterr().out
    assert store.find(store.key_of(artifact)) is None
    assert len(list(store.path.glob(f"quarantine/*/{artifact.key}.*/"))) == 1
    features.encoded.clear()
    again = features.make(ROWS)
    concerned = {"PART0": {0, 1, 2}, "PART1": {3, 4}}
    lost = next((rows for part, rows in concerned.items() if part in file), set())
    # A marker may be harmed where it does not matter, such as in its seconds.
    assert (
        set(features.encoded) <= lost if file.endswith(".json") else set(features.encoded) == lost
    )
    pooled = ImageFeatures(store, again).pooled(features.making(ROWS).rows)
    assert pooled[:, 0].tolist() == list(ROWS)
    assert main(["verify", "--store", str(store.path)]) == DONE


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("harm", ["cut", "empty", "remove"])
def test_a_cut_file_is_found_without_hashing_as_soon_as_the_artifact_is_asked_for(
    store: ArtifactStore, artifact: Artifact, features: Any, file: str, harm: str
) -> None:
    HARMS[harm](path_of(store, artifact, file))
    assert store.find(store.key_of(artifact)) is None
    assert features.make(ROWS) == artifact


def test_the_reason_lies_beside_what_was_quarantined(
    store: ArtifactStore, artifact: Artifact
) -> None:
    cut(path_of(store, artifact, "parts/PART1/tokens.h5"))
    (finding,) = verify(store)
    (reason,) = store.path.glob("quarantine/*/*.json")
    assert finding.reason in reason.read_text()


def test_a_file_that_was_never_published_is_damage(
    store: ArtifactStore, artifact: Artifact
) -> None:
    (store.path_of(artifact) / "parts" / "stranger.h5").write_bytes(b"x")
    (finding,) = verify(store)
    assert (finding.state, "stranger.h5" in finding.reason) == ("damaged", True)


def test_artifacts_that_share_the_damaged_file_are_quarantined_too(
    store: ArtifactStore, artifact: Artifact, features: Any
) -> None:
    sibling = features.make([*ROWS, 5, 6])
    stranger = features.make([50, 51])
    flip_a_bit(path_of(store, artifact, "parts/PART0/tokens.h5"))
    states = {finding.name: finding.state for finding in verify(store)}
    assert states == {
        artifact.key: "damaged",
        sibling.key: "damaged",
        stranger.key: "whole",
    }


def test_a_shared_file_is_hashed_once(
    store: ArtifactStore, artifact: Artifact, features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    features.make([*ROWS, 5])
    hashed: list[int] = []
    whole_sum = FileSum.of

    def noted(path: Path) -> FileSum:
        hashed.append(path.stat().st_ino)
        return whole_sum(path)

    monkeypatch.setattr(FileSum, "of", noted)
    assert all(finding.is_whole for finding in verify(store))
    assert len(hashed) == len(set(hashed))


def test_a_damaged_part_of_a_draft_is_quarantined_alone(
    store: ArtifactStore, features: Any
) -> None:
    draft = features.draft(range(10, 15))
    first, second = draft.part_rows
    flip_a_bit(draft.parts / first / "tokens.h5")
    damaged = next(finding for finding in verify(store) if not finding.is_whole)
    assert (damaged.name, damaged.state) == (f"draft {first}", "damaged")
    assert draft.pending() == [first]
    assert list(draft.sealed()) == [second]


def test_a_reference_to_nothing_is_told(store: ArtifactStore) -> None:
    store.refs.set("demo/gone", ArtifactKey("dataset", 1, "0" * 16))
    _, finding = verify(store)
    assert (finding.name, finding.state) == ("demo/gone", "dangling")


def test_an_untouched_store_is_whole(store: ArtifactStore) -> None:
    assert [finding.state for finding in verify(store)] == ["whole"]
