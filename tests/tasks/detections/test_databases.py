"""embeddings.db: the seed's questions, merging, and a check that finds what is wrong."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from storage.detections import Detections
from storage.detections.both import validate
from storage.detections.database import finish
from storage.detections.parts import ModelCard
from storage.detections.schema import (
    SHARED,
    RunRow,
    image_ids,
    insert_images,
    insert_run,
    new_database,
)
from storage.errors import IncompleteArtifact, StoreError

COMPONENTS = ("box", "cls", "dfl", "seg")


def ask(path: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as opened:
        return list(opened.execute(question).fetchall())


def change(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as opened:
        assert opened.execute(statement, values).rowcount
        opened.commit()


def wrong(path: Path, *others: Path) -> dict[str, str]:
    found = validate(path, *others)
    return {check.name.partition(": ")[2]: check.told for check in found if not check.passed}


# The seed's questions


def test_the_seeds_questions_are_answered(detections: Detections) -> None:
    path = detections.database
    assert ask(path, "SELECT COUNT(*) FROM features;") == [(6,)]
    assert ask(path, "SELECT img_id FROM features LIMIT 5;") == [(n,) for n in range(1, 6)]
    assert ask(path, "SELECT COUNT(*) FROM predictions") == [(len(detections.predictions),)]


def test_the_database_is_strict_in_pages_of_16_kib_and_leaves_no_journal(
    detections: Detections,
) -> None:
    path = detections.database
    assert ask(path, "PRAGMA page_size") == [(16384,)]
    tables = ask(path, "SELECT sql FROM sqlite_master WHERE type = 'table'")
    assert len(tables) == 7
    assert all("STRICT" in sql for (sql,) in tables)
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "embeddings.db", "manifest.json", "parts",
    ]  # fmt: skip


def test_the_embedding_is_the_mean_of_the_last_layer(detections: Detections) -> None:
    rows = ask(
        detections.database, "SELECT sha256, embedding FROM embeddings JOIN images USING (img_id)"
    )
    for sha256, blob in rows:
        np.testing.assert_array_equal(load(blob)["embedding"], detections.gap([sha256])[0])


def test_the_maps_are_in_the_database_where_they_were_asked_for(
    scene: Any, detections: Detections
) -> None:
    question = (
        "SELECT sha256, gap_features, bottleneck_features FROM features JOIN images USING (img_id)"
    )
    sha256, gap, maps = ask(detections.database, question)[2]
    assert load(gap)["bottleneck_layer_3"].shape == (1, 24)
    stored = load(maps)["bottleneck_layer_3"]
    assert stored.dtype == np.float16
    np.testing.assert_array_equal(stored[0], detections.maps(sha256))
    plain = scene.detect().database
    assert {maps for _, _, maps in ask(plain, question)} == {None}


def test_masks_are_run_lengths_at_the_size_of_the_image(detections: Detections) -> None:
    rows = ask(detections.database, "SELECT mask, class_id, class_name FROM predictions")
    assert rows
    for mask, class_id, class_name in rows:
        read = json.loads(mask)
        assert read["size"] == [80, 80]
        assert sum(read["counts"]) == 6400
        assert detections.names[class_id] == class_name


def test_the_run_tells_the_model_and_the_version_of_its_library(detections: Detections) -> None:
    (row,) = ask(detections.database, "SELECT key, head, task, library, conf, max_det FROM runs")
    assert row[:3] == (detections.artifact.key, "v8", "segment")
    assert row[3].startswith("ultralytics==")
    assert row[4:] == (0.9, 20)


def test_parts_of_two_models_are_not_published(scene: Any, tmp_path: Path) -> None:
    from types import SimpleNamespace

    cards = [
        ModelCard(("a",), "v8", "detect", ("box",), (1,), finger) for finger in ("f" * 64, "e" * 64)
    ]
    for number, card in enumerate(cards):
        folder = tmp_path / "parts" / f"p{number}"
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(json.dumps(vars(card)))
    plan = {"recipe": {"bottleneck_blob": False}, "began": 0.0}
    draft: Any = SimpleNamespace(
        key="k", path=tmp_path, parts=tmp_path / "parts", part_rows=["p0", "p1"], plan=plan
    )
    with pytest.raises(IncompleteArtifact, match="made by 2 different models, though one recipe"):
        finish(draft)


# Checking


def test_a_sound_database_passes_every_check(detections: Detections) -> None:
    found = validate(detections.database)
    assert wrong(detections.database) == {}
    assert len(found) >= 15
    assert all(check.compared for check in found if "references" not in check.name)


def first_blob(path: Path, table: str, column: str) -> dict[str, Any]:
    return dict(load(ask(path, f"SELECT {column} FROM {table} WHERE img_id = 1")[0][0]))


def spoil_embedding(path: Path) -> None:
    values = first_blob(path, "embeddings", "embedding")["embedding"].copy()
    values[3] = np.nan
    blob = save({"embedding": values})
    change(path, "UPDATE embeddings SET embedding = ? WHERE img_id = 1", blob)


def spoil_map(path: Path) -> None:
    maps = first_blob(path, "features", "bottleneck_features")
    maps["bottleneck_layer_2"] = maps["bottleneck_layer_2"] * np.float16(1.5)
    change(path, "UPDATE features SET bottleneck_features = ? WHERE img_id = 1", save(maps))


def spoil(statement: str, *values: Any) -> Callable[[Path], None]:
    return lambda path: change(path, statement, *values)


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "a row is gone": (
        spoil("DELETE FROM predictions WHERE id = 1"),
        "metadata: predictions",
    ),
    "an embedding is NaN": (spoil_embedding, "embeddings: finite float32"),
    "an embedding is not an array": (
        spoil("UPDATE embeddings SET embedding = x'00' WHERE img_id = 2"),
        "embeddings: finite float32",
    ),
    "an embedding is shorter": (
        spoil(
            "UPDATE embeddings SET embedding = ? WHERE img_id = 2",
            save({"embedding": np.zeros(3, np.float32)}),
        ),
        "embeddings: of one shape",
    ),
    "a map is another": (spoil_map, "features: means, maps and embedding agree"),
    "a map is of no layer": (
        spoil(
            "UPDATE features SET bottleneck_features = ? WHERE img_id = 1",
            save({"bottleneck_layer_9": np.zeros((1, 2, 2, 3), np.float16)}),
        ),
        "features: means, maps and embedding agree",
    ),
    "means of no layer": (
        spoil(
            "UPDATE features SET gap_features = ? WHERE img_id = 1",
            save({"mean": np.zeros((1, 3), np.float32)}),
        ),
        "features: means, maps and embedding agree",
    ),
    "an image without a size": (
        spoil("UPDATE images SET width_px = NULL"),
        "predictions: boxes and confidences",
    ),
    "a box is outside": (
        spoil("UPDATE predictions SET box_x2 = 80.5 WHERE id = 1"),
        "predictions: boxes and confidences",
    ),
    "a confidence is too low": (
        spoil("UPDATE predictions SET confidence = 0.5 WHERE id = 1"),
        "predictions: boxes and confidences",
    ),
    "a mask has another size": (
        spoil(
            "UPDATE predictions SET mask = ? WHERE id = 1",
            b'{"size": [80, 79], "counts": [6320]}',
        ),
        "predictions: masks",
    ),
    "a mask has too few pixels": (
        spoil("UPDATE predictions SET mask = ? WHERE id = 1", b'{"size": [80, 80], "counts": [9]}'),
        "predictions: masks",
    ),
    "a class has another name": (
        spoil("UPDATE predictions SET class_name = 'nobody' WHERE id = 1"),
        "predictions: classes",
    ),
    "a mean is another": (
        spoil("UPDATE embeddings SET mean_conf = 0.99 WHERE img_id = 1"),
        "predictions: mean_conf, category_distribution",
    ),
    "a distribution is another": (
        spoil("""UPDATE embeddings SET category_distribution = '{"0": 1}' WHERE img_id = 1"""),
        "predictions: mean_conf, category_distribution",
    ),
    "a distribution is missing": (
        spoil("UPDATE embeddings SET category_distribution = NULL WHERE img_id = 1"),
        "predictions: mean_conf, category_distribution",
    ),
    "a distribution is no JSON": (
        spoil("UPDATE embeddings SET category_distribution = 'many' WHERE img_id = 1"),
        "predictions: mean_conf, category_distribution",
    ),
    "a loss is negative": (
        spoil("UPDATE embeddings SET seg_loss = -1.0 WHERE img_id = 1"),
        "losses",
    ),
    "a loss is missing": (
        spoil("UPDATE embeddings SET box_loss = NULL WHERE img_id = 1"),
        "losses",
    ),
    "a loss that the head lacks": (
        spoil("UPDATE embeddings SET sem_loss = 1.0 WHERE img_id = 1"),
        "losses",
    ),
    "a metric beyond 1": (
        spoil("UPDATE embeddings SET hit_freq = 1.5 WHERE img_id = 1"),
        "metrics from 0 to 1",
    ),
    "an image is gone": (spoil("DELETE FROM images WHERE img_id = 3"), "references"),
    "a table is gone": (
        lambda path: _drop(path, "features"),
        "tables and columns",
    ),
}


def _drop(path: Path, table: str) -> None:
    with closing(sqlite3.connect(path)) as opened:
        opened.execute(f"DROP TABLE {table}")
        opened.commit()


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_wrong_is_found(database: Path, what: str) -> None:
    break_it, check = SPOILT[what]
    break_it(database)
    assert check in wrong(database)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "embeddings.db").write_bytes(b"not a database at all" * 99)
    assert wrong(tmp_path / "embeddings.db") == {"file": "file is not a database"}
    with pytest.raises(StoreError, match="There is no database"):
        validate(tmp_path / "absent.db")


def test_a_damaged_file_is_told_and_its_rows_are_not_read(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[16384 * 2 :] = b"\xff" * len(content[16384 * 2 :])
    database.write_bytes(content)
    assert wrong(database).keys() == {"file"}


# Both databases

DISTANCES = """
CREATE TABLE distances (
    id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES runs,
    img_i INTEGER NOT NULL REFERENCES images (img_id), img_j INTEGER NOT NULL REFERENCES images,
    component TEXT NOT NULL, distance REAL
) STRICT
"""


@pytest.fixture
def distances(detections: Detections, tmp_path: Path) -> Path:
    """Return a distances.db of all pairs, with made-up numbers, that a test may break."""
    path = tmp_path / "distances.db"
    run = RunRow(detections.artifact.key, detections.manifest.recipe, 7, "v8", "segment")
    with new_database(path, (*SHARED, DISTANCES)) as opened:
        run_id = insert_run(opened, run)
        ids = insert_images(opened, dict.fromkeys(detections.contents, (80, 80)))
        opened.executemany(
            "INSERT INTO distances (run_id, img_i, img_j, component, distance) "
            "VALUES (?, ?, ?, ?, 1)",
            [(run_id, i, j, c) for i in ids.values() for j in ids.values() for c in COMPONENTS],
        )
    return path


def test_both_databases_number_their_images_alike(detections: Detections, distances: Path) -> None:
    question = "SELECT sha256, img_id FROM images ORDER BY sha256"
    assert ask(distances, question) == ask(detections.database, question)
    assert dict(ask(distances, question)) == image_ids(detections.contents)


def test_databases_that_fit_pass(detections: Detections, distances: Path) -> None:
    assert wrong(detections.database, distances) == {}
    assert len(validate(detections.database, distances)) > len(validate(detections.database)) + 8


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("DELETE FROM distances WHERE img_i = 2 AND img_j = 3", "distances of all pairs"),
        ("DELETE FROM distances WHERE img_i = 2 OR img_j = 2", "every image has distances"),
        ("DELETE FROM distances WHERE component = 'seg'", "components"),
        ("UPDATE distances SET img_j = 1 WHERE img_j = 2", "distances that are there twice"),
        (
            "UPDATE distances SET distance = NULL WHERE id = 4",
            "distances that are no finite number",
        ),
        ("UPDATE runs SET size_px = 320", "the run is the same in both"),
        ("UPDATE runs SET key = 'detections-v1-0000000000000000'", "the detectors' runs are here"),
        ("UPDATE images SET sha256 = 'x' WHERE img_id = 4", "its images have embeddings"),
    ],
)
def test_databases_that_do_not_fit_are_told(
    detections: Detections, distances: Path, statement: str, check: str
) -> None:
    change(distances, statement)
    assert any(name.startswith(check) for name in wrong(detections.database, distances))
