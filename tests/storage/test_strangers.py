"""What others leave in a store, and what a disk does to it, concerns only what it touches."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.atomic import exclusive
from storage.catalog import Catalog
from storage.checksums import FileSum
from storage.errors import DamagedArtifact, StoreError
from storage.images import ImageFeatures
from storage.open import open_artifact
from storage.store import ArtifactStore
from storage.verify import Finding, verify


def found(store: ArtifactStore) -> dict[str, Finding]:
    """Return what verification says, by name."""
    return {finding.name: finding for finding in verify(store)}


def test_the_leftover_of_a_record_that_was_being_written_means_nothing(features: Any) -> None:
    artifact = features.make(range(4))
    leftover = features.store.path_of(artifact) / ".prefect.json.0123abcd.tmp"
    leftover.write_text("{")
    assert all(finding.is_whole for finding in verify(features.store))


def test_a_file_that_cannot_be_read_is_damage_and_the_rest_is_verified(
    features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = features.make(range(4)), features.make(range(10, 14))
    of = FileSum.of

    def broken_sector(path: Path) -> FileSum:
        if bad.key in str(path):
            raise OSError(errno.EIO, "Input/output error")
        return of(path)

    monkeypatch.setattr(FileSum, "of", broken_sector)
    findings = found(features.store)
    assert "cannot be read: Input/output error" in findings[bad.key].reason
    assert findings[good.key].is_whole


def test_a_draft_that_somebody_makes_is_left_to_its_maker(features: Any) -> None:
    draft = features.draft(range(6), parts=1)
    (file,) = draft.parts.glob("*/features.h5")
    file.write_bytes(b"")
    with exclusive(features.store.lock_path(draft.key)):
        assert found(features.store) == {}
    assert [finding.state for finding in found(features.store).values()] == ["damaged"]


def test_a_folder_of_a_file_server_is_no_artifact(features: Any) -> None:
    artifact = features.make(range(4))
    (features.store.path / "published" / artifact.kind / "@eaDir").mkdir()
    assert [*found(features.store)] == [artifact.key]
    assert [str(key) for key in features.store.published()] == [artifact.key]


def test_a_plan_that_cannot_be_read_stops_its_own_making_only(features: Any) -> None:
    draft = features.draft(range(6), parts=1)
    (draft.path / "plan.json").write_text("not a plan")
    assert features.make(range(10, 14)).rows == 4
    assert found(features.store)[f"draft {draft.path.name}"].state == "damaged"
    with pytest.raises(StoreError, match="is not a plan"):
        features.make(range(6))


def flip_a_marker(folder: Path) -> None:
    """Change one letter of the first marker: it is no JSON any more, of the same size."""
    marker = min(folder.glob("parts/*.json"))
    marker.chmod(0o644)
    marker.write_text(marker.read_text().replace('"rows"', '"rows#'))


@pytest.mark.parametrize("kind", ["image-features", "image-labels", "prompt-features"])
def test_a_reader_raises_when_a_marker_is_damaged(own_store: Path, kind: str) -> None:
    store = ArtifactStore(own_store)
    (key,) = (key for key in store.published() if key.kind == kind)
    flip_a_marker(store.folder(key))
    with pytest.raises(DamagedArtifact, match="were published"):
        read_all(open_artifact(str(key), store))


def read_all(reader: Any) -> None:
    """Read what a reader offers, where opening it has not done so."""
    if isinstance(reader, ImageFeatures):
        reader.pooled()


def test_a_catalog_on_a_read_only_disk_is_made_in_memory(
    features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = features.make(range(4))
    catalog = Catalog(features.store)
    catalog.path = Path("/proc/no-such-place/catalog.sqlite")
    assert [entry.key for entry in catalog.entries()] == [artifact.key]


def test_a_remade_artifact_has_a_new_line_in_the_catalog(
    features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(features.store)
    clock: Callable[..., str] = lambda *given: "2001-01-01T00:00:00Z"  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr("storage.publishing.time.strftime", clock)
        artifact = features.make(range(4))
    (before,) = catalog.entries()
    features.store.quarantine(features.store.key_of(artifact), "to see")
    features.make(range(4))
    (after,) = catalog.entries()
    assert before.at.startswith("2001")
    assert not after.at.startswith("2001")
