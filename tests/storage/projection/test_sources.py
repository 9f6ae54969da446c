"""Where the pictures of a dataset lie: told by its manifest or by a run, believed if readable."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conf.keys import ArtifactKey
from conf.runtime import Runtime
from conf.sources.digits import Source as Digits
from conf.sources.folder import Source as Folder
from storage.dataset.places import rooted
from storage.drafts import Making
from storage.projection.sources import source_on_record
from storage.publishing import driving, seal
from storage.runs import Runs
from storage.store import ArtifactStore
from tasks.dataset import keep_ledger, scan_source


def test_the_run_that_scanned_a_dataset_tells_its_source(own_store: Path) -> None:
    runtime, dataset = Runtime(store=own_store), ArtifactStore(own_store).resolve("small/dataset")
    key = ArtifactKey.parse(dataset.key)
    assert source_on_record(key, runtime) is None  # no run is on record
    settings = {"source": Digits(limit=12).model_dump(mode="json")}
    runs = Runs(own_store)
    with runs.recording("images", "images", settings, {}) as record:
        runs.end(record, [{"key": dataset.key}])
    assert source_on_record(key, runtime) == Digits(limit=12)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b"):
        pixels = np.full((8, 8, 3), ord(name), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_the_manifest_tells_it_and_pictures_that_are_gone_are_no_source(
    pictures: Path, tmp_path: Path
) -> None:
    runtime = Runtime(store=tmp_path / "store", progress=False)
    store, source = ArtifactStore(runtime.store), Folder(root=pictures)
    ledger = scan_source.fn(source, runtime=runtime)
    making = Making(ledger.recipe, {}, ("ledger",))
    with driving(store, making) as draft:
        for part in draft.pending() if draft else ():
            keep_ledger.fn(ledger.recipe, ledger=ledger, part=part, runtime=runtime)
        seal(store, making.key, made={"source": rooted(source, runtime)})
    found = source_on_record(making.key, runtime)
    assert found == source
    shutil.rmtree(pictures)
    assert source_on_record(making.key, runtime) is None


def test_a_dataset_that_is_not_in_the_store_has_no_source(tmp_path: Path) -> None:
    runtime = Runtime(store=tmp_path / "store")
    assert source_on_record(ArtifactKey.of("dataset", 1, "none"), runtime) is None
