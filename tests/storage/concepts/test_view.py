"""View, bundle and a file of one's own: equal arrays, seen by h5py alone."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from storage.concepts import (
    ConceptStore,
    append_batch,
    init_file,
    validate_h5,
    write_template,
)
from storage.errors import DamagedArtifact
from storage.images import ImageFeatures
from storage.store import ArtifactStore

ContentsOf = Callable[..., dict[str, Any]]
OF_THE_SEED = ("image_features", "image_token_features", "ids", "labels", "split")


def rows_of(path: Path) -> dict[str, Any]:
    with h5py.File(path, "r") as file:
        return {name: file[name][:] for name in OF_THE_SEED}


def test_the_bundle_holds_what_the_view_holds(
    concept_store: ConceptStore, bundle: Path, contents_of: ContentsOf
) -> None:
    assert contents_of(bundle) == contents_of(concept_store.path)


def test_a_file_written_by_the_functions_has_the_same_rows_and_templates(
    concept_store: ConceptStore, tmp_path: Path, contents_of: ContentsOf
) -> None:
    truth = rows_of(concept_store.path)
    path = tmp_path / "mine.h5"
    with init_file(path, D=32, T_img=16) as file:
        for rows in (slice(0, 5), slice(5, 12)):
            append_batch(
                file,
                image_feats=truth["image_features"][rows],
                image_token_feats=truth["image_token_features"][rows],
                ids=truth["ids"][rows],
                split_names=[name.decode() for name in truth["split"][rows]],
                labels=truth["labels"][rows],
            )
        for name, one in concept_store.templates().items():
            logits = {"logit_scale": 10.0}
            write_template(
                file, template_id=name, texts=one.texts, text_features=one.features, logits=logits
            )
    mine = rows_of(path)
    for name in OF_THE_SEED:
        assert [row.tobytes() if hasattr(row, "tobytes") else row for row in mine[name]] == [
            row.tobytes() if hasattr(row, "tobytes") else row for row in truth[name]
        ]
    ours, theirs = contents_of(path), contents_of(concept_store.path)
    texts = [name for name in theirs if name.startswith("templates/") and "created" not in name]
    assert texts
    assert {name: ours.get(name) for name in texts} == {name: theirs[name] for name in texts}
    validate_h5(path, tokens=True, show=False)


def test_the_rows_are_those_of_the_image_features_in_the_order_of_the_ledger(
    concept_store: ConceptStore,
) -> None:
    store = concept_store.store
    images = store.resolve(store.manifest(concept_store.artifact.key).inputs["images"])
    reader = ImageFeatures(store, images)
    found = rows_of(concept_store.path)
    contents = concept_store.contents
    assert np.array_equal(found["image_features"], reader.pooled(contents))
    assert np.array_equal(found["image_token_features"], reader.tokens(contents))
    assert found["labels"].tolist() == [*range(10), 0, 1]


def test_tokens_are_hard_links_and_pooled_features_real_copies(concept_store: ConceptStore) -> None:
    folder = concept_store.path.parent
    linked = sorted(folder.glob("parts/*/*.tokens.h5"))
    assert len(linked) == 3
    assert all(path.stat().st_nlink == 2 for path in linked)
    assert all(concept_store.artifact.key in str(path.relative_to(folder)) for path in linked)


@pytest.fixture
def copied(concept_store: ConceptStore, tmp_path: Path) -> Path:
    """Return the artifact's directory, moved away from its store."""
    return Path(shutil.copytree(concept_store.path.parent, tmp_path / "moved")) / (
        "conceptclip_features.h5"
    )


def test_the_view_works_from_any_directory_also_beside_a_foreign_parts_folder(
    concept_store: ConceptStore, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = rows_of(concept_store.path)
    foreign = tmp_path / "elsewhere" / "parts"
    foreign.mkdir(parents=True)
    for path in copied.parent.glob("parts/*/*.h5"):
        target = foreign / path.relative_to(copied.parent / "parts")
        target.parent.mkdir(exist_ok=True)
        with h5py.File(target, "w") as file:
            file["image_features"] = np.full((12, 32), 7, np.float16)
            file["image_token_features"] = np.full((5, 16, 32), 7, np.float16)
    for folder in (foreign.parent, Path("/"), copied.parent):
        monkeypatch.chdir(folder)
        found = rows_of(Path(os.path.relpath(copied)))
        assert all(np.array_equal(found[name], truth[name]) for name in OF_THE_SEED)


def test_a_lost_part_is_nan_for_h5py_and_an_error_for_us(
    concept_store: ConceptStore, copied: Path
) -> None:
    lost = sorted(copied.parent.glob("parts/*/*.tokens.h5"))[1]
    lost.unlink()
    with h5py.File(copied, "r") as file:
        tokens = file["image_token_features"][:]
    assert np.isnan(tokens[5:10]).all()
    assert np.isfinite(np.delete(tokens, np.s_[5:10], axis=0)).all()
    from storage.concepts import ConceptFile

    reader = ConceptFile(copied)
    assert np.isfinite(reader.tokens([0, 11])).all()
    with pytest.raises(DamagedArtifact, match=f"{lost.name} is part of this store"):
        reader.tokens([4, 5])


def test_an_artifact_with_a_lost_part_does_not_even_open(
    concept_store: ConceptStore, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(concept_store.store.path, tmp_path / "store"))
    store = ArtifactStore(root)
    next(store.folder(concept_store.artifact.key).glob("parts/*/pooled.h5")).unlink()
    with pytest.raises(DamagedArtifact, match=r"pooled\.h5 is gone"):
        ConceptStore(store, concept_store.artifact)


def test_nothing_can_be_written_through_the_view(concept_store: ConceptStore) -> None:
    files = [concept_store.path, *concept_store.path.parent.glob("parts/*/*.h5")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o444}


def test_a_process_that_may_not_ignore_permissions_cannot_open_it_for_writing(
    copied: Path,
) -> None:
    code = (
        "import os, sys, h5py\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "h5py.File(sys.argv[1], 'r').close()\n"
        "try: h5py.File(sys.argv[1], 'r+')\n"
        "except PermissionError: print('refused')\n"
    )
    for folder in (copied, *copied.parents):
        if folder.is_dir() and folder.owner() == "root" and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    told = subprocess.run(
        [sys.executable, "-c", code, str(copied)], capture_output=True, text=True, check=False
    )
    assert told.stdout == "refused\n", told.stderr


def test_rows_that_interleave_parts_are_still_in_the_order_of_the_ledger(tmp_path: Path) -> None:
    """New images that sort between old ones lie in a part of their own."""
    from storage.concepts.view import Segment, segments

    class Marker:
        def __init__(self, *rows: str) -> None:
            self.rows = rows

    class Images:
        markers = (Marker("a", "c", "d"), Marker("b"))

    assert segments(Images(), ["a", "b", "c", "d", "b"]) == [  # type: ignore[arg-type]
        Segment(0, 0, 1),
        Segment(1, 0, 1),
        Segment(0, 1, 2),
        Segment(1, 0, 1),
    ]


def test_a_bundle_is_never_written_into_a_store(concept_store: ConceptStore) -> None:
    from storage.concepts.file import WrittenByRun
    from storage.concepts.store import write_bundle

    with pytest.raises(WrittenByRun):
        write_bundle(
            concept_store.store, concept_store.artifact, concept_store.store.path / "bundle.h5"
        )


def test_texts_hash_is_the_one_of_the_prompts() -> None:
    from storage.concepts.file import texts_hash
    from tasks.compute.prompts import texts_hash as of_prompts

    assert texts_hash(["a", "ü"]) == of_prompts(["a", "ü"])


def test_images_and_prompts_of_different_weights_are_refused(
    concept_store: ConceptStore, tmp_path: Path
) -> None:
    """One recipe names them, and still another torch drew other random weights, say."""
    from tasks.concepts.making import ModelsDiffer, _one_fingerprint

    root = Path(shutil.copytree(concept_store.store.path, tmp_path / "store"))
    store = ArtifactStore(root)
    inputs = store.manifest(concept_store.artifact.key).inputs
    images = ImageFeatures(store, store.resolve(inputs["images"]))
    prompts = {"label_prompts_t01": store.resolve(inputs["label_prompts_t01"])}
    assert _one_fingerprint(store, images, prompts, {})
    (path,) = store.folder(inputs["label_prompts_t01"]).glob("parts/*.00000/prompts.h5")
    path.chmod(0o644)
    with h5py.File(path, "r+") as file:
        file.attrs["model_fingerprint"] = "0" * 64
    with pytest.raises(ModelsDiffer, match="encoded by 2 different models"):
        _one_fingerprint(store, images, prompts, {})
