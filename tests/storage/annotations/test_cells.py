"""Rendered scenes know what is in them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conf.annotations import CellLabels, CocoLabels, YoloLabels
from conf.dataset import SourceSpec
from conf.sources.cells import Source
from conf.sources.folder import Source as Folder
from storage.annotations import read_labels
from storage.annotations.rle import area_px, box_of, decode
from storage.annotations.tables import rows_sha256
from storage.annotations.truth import Annotations
from storage.dataset import Ledger, open_rows, scan
from storage.hashes import Hashes
from storage.readers.arrays import unpack
from storage.readers.cells.scene import scene
from storage.readers.protocol import SourceUnusable

SCENES = Source(count=4, size_px=160, seed=3)


def ledger_of(source: SourceSpec, folder: Path) -> Ledger:
    with Hashes(folder / "hashes.sqlite") as hashes:
        return scan(open_rows(source), hashes, threads=1, max_megapixels=1)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return ledger_of(SCENES, tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def known(ledger: Ledger) -> Annotations:
    return read_labels(CellLabels(), SCENES, ledger)


def test_every_scene_is_known_by_its_content(ledger: Ledger, known: Annotations) -> None:
    assert set(known.contents) == set(ledger.contents)
    assert not known.faults()
    assert len(known.names) == 7
    assert known.superclasses is not None
    assert set(known.superclasses) == {"red cell", "white cell", "platelet"}


def test_masks_are_what_is_seen_and_boxes_are_tight_around_them(
    ledger: Ledger, known: Annotations
) -> None:
    for number, sha256 in enumerate(ledger.sha256):
        truth = known.of(sha256 or "")
        assert truth is not None
        cells = scene(SCENES.seed, number, SCENES.size_px)
        masks = [decode(mask) for mask in truth.masks if mask]
        assert len(masks) == len(truth) == len(cells.cells)
        assert np.array_equal(np.sum(masks, axis=0), cells.seen > 0), "no pixel belongs to two"
        for mask, box in zip(masks, truth.boxes_px, strict=True):
            tight = box_of(mask)
            assert tight is not None
            assert np.array_equal(tight, box)


def test_labels_of_other_sources_are_refused(tmp_path: Path, ledger: Ledger) -> None:
    with pytest.raises(SourceUnusable, match=r"the source is 'folder'\. Take its own labels"):
        read_labels(CellLabels(), Folder(root=tmp_path), ledger)


def test_the_same_truth_in_another_format_has_the_same_boxes_and_masks(
    tmp_path: Path, ledger: Ledger, known: Annotations
) -> None:
    pycocotools = pytest.importorskip("pycocotools.mask", reason="needs the extra dev")
    images: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    rows = open_rows(SCENES)
    for number, (uri, sha256) in enumerate(zip(ledger.uri, ledger.sha256, strict=True)):
        Image.fromarray(unpack(rows.read(uri))).save(tmp_path / f"{uri}.png")
        images.append({"id": number, "file_name": f"{uri}.png", "width": 160, "height": 160})
        truth = known.of(sha256 or "")
        assert truth is not None
        for box, class_id, mask in zip(
            truth.boxes_px.tolist(), truth.class_ids.tolist(), truth.masks, strict=True
        ):
            assert mask is not None
            packed = pycocotools.encode(np.asfortranarray(decode(mask).astype(np.uint8)))
            sizes = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            shape = {"size": packed["size"], "counts": packed["counts"].decode()}
            items.append(
                {"id": len(items), "image_id": number, "category_id": class_id + 1, "bbox": sizes,
                 "segmentation": shape, "area": area_px(mask), "iscrowd": 0}
            )  # fmt: skip
    above = known.superclasses or ()
    categories = [
        {"id": at + 1, "name": name, "supercategory": above[at]}
        for at, name in enumerate(known.names)
    ]
    (tmp_path / "labels.json").write_text(
        json.dumps({"images": images, "annotations": items[::-1], "categories": categories})
    )
    source = Folder(root=tmp_path)
    other = read_labels(
        CocoLabels(path=tmp_path / "labels.json"), source, ledger_of(source, tmp_path)
    )
    assert not other.faults()
    theirs = {sha256_lines(other, sha256) for sha256 in other.contents}
    assert theirs == {sha256_lines(known, sha256) for sha256 in known.contents}


def sha256_lines(known: Annotations, sha256: str) -> str:
    """Return the hash of what is known of one image, under a name of its own."""
    truth = known.of(sha256)
    assert truth is not None
    return rows_sha256(Annotations(known.names, {"": truth}, (), known.superclasses))


def test_a_text_file_of_boxes_says_the_same_within_its_rounding(
    tmp_path: Path, ledger: Ledger, known: Annotations
) -> None:
    uri, sha256 = ledger.uri[0], ledger.sha256[0]
    truth = known.of(sha256 or "")
    assert truth is not None
    Image.fromarray(unpack(open_rows(SCENES).read(uri))).save(tmp_path / "a.png")
    lines = [
        f"{class_id} {(x1 + x2) / 320:.6f} {(y1 + y2) / 320:.6f} "
        f"{(x2 - x1) / 160:.6f} {(y2 - y1) / 160:.6f}"
        for class_id, (x1, y1, x2, y2) in zip(
            truth.class_ids.tolist(), truth.boxes_px.tolist(), strict=True
        )
    ]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    labels, source = YoloLabels(root=tmp_path, names=known.names), Folder(root=tmp_path)
    other = read_labels(labels, source, ledger_of(source, tmp_path))
    found = other.of(other.contents[0])
    assert found is not None
    assert np.array_equal(found.class_ids, truth.class_ids)
    assert np.allclose(np.sort(found.boxes_px, axis=0), np.sort(truth.boxes_px, axis=0), atol=1e-3)
