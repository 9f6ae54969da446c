"""Cache folders: their order is proven, refuted with the first row that differs, or unproven."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from storage.projection.cache import (
    EMBEDDINGS,
    cache_folder,
    cache_names,
    write_meta,
    write_metadata,
)
from storage.projection.errors import BadVectors, OrderDiffers
from storage.projection.names import COLUMNS

FILES = [f"cell {number}.png" for number in range(6)]
LABELS = [0, 0, 0, 1, 1, 1]
WORDS = ["basophil"] * 3 + ["eosinophil, mature"] * 3
SHA = "ab" * 32


def cache(folder: Path, *, ours: bool = True) -> Path:
    (folder / EMBEDDINGS).write_bytes(b"")
    write_metadata(folder, FILES, LABELS, WORDS)
    if ours:
        write_meta(folder, FILES, {"embeddings_sha256": SHA})
    return folder


def shuffle(folder: Path, order: list[int]) -> None:
    header, *rows = (folder / "metadata.csv").read_text().splitlines()
    (folder / "metadata.csv").write_text("\n".join([header, *(rows[at] for at in order)]) + "\n")


def test_a_cache_of_ours_is_proven_to_be_in_order(tmp_path: Path) -> None:
    names = cache_names(cache(tmp_path), 6, np.array(LABELS), SHA)
    assert names.order_proven
    assert names.notes == ()
    assert names.ids == tuple(FILES)
    assert list(names.texts["label"]) == WORDS


def test_the_columns_are_those_of_the_seed(tmp_path: Path) -> None:
    with (cache(tmp_path) / "metadata.csv").open(newline="") as file:
        header, first, *_ = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert COLUMNS == (
        "file_name", "ground_truth_num_label", "ground_truth_word_label",
        "ground_truth_L2_num_label",
    )  # fmt: skip
    assert first == ["cell 0.png", "0", "basophil", "-1"]


def test_rows_exchanged_within_a_label_are_refused_with_the_first_that_differs(
    tmp_path: Path,
) -> None:
    shuffle(cache(tmp_path), [0, 2, 1, 3, 4, 5])  # labels.pt would not notice
    with pytest.raises(OrderDiffers) as refused:
        cache_names(tmp_path, 6, np.array(LABELS), SHA)
    told = str(refused.value)
    assert "metadata.csv: row 1 is 'cell 2.png', and the embeddings were written in another" in told
    assert "'cell 1.png' belongs there. It is the first row that differs." in told


def test_a_foreign_cache_whose_labels_differ_is_refused_with_the_first_row(tmp_path: Path) -> None:
    shuffle(cache(tmp_path, ours=False), [0, 1, 3, 2, 4, 5])
    with pytest.raises(
        OrderDiffers, match=r"row 2 \('cell 3.png'\) has ground_truth_num_label '1'"
    ):
        cache_names(tmp_path, 6, np.array(LABELS), SHA)


def test_a_foreign_cache_that_nothing_proves_says_so(tmp_path: Path) -> None:
    alone = cache_names(cache(tmp_path, ours=False), 6, None, SHA)
    assert not alone.order_proven
    assert alone.notes == ("Nothing proves that metadata.csv is in the order of the embeddings.",)
    labelled = cache_names(tmp_path, 6, np.array(LABELS), SHA)
    assert not labelled.order_proven
    assert "agree with labels.pt, row by row" in labelled.notes[0]


@pytest.mark.parametrize("count", [5, 7])
def test_another_number_of_rows_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(OrderDiffers, match=f"has 6 rows, embeddings.pt has {count}"):
        cache_names(cache(tmp_path), count, None, SHA)


def test_other_embeddings_than_those_that_were_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OrderDiffers, match=r"is not the file that meta\.json tells of"):
        cache_names(cache(tmp_path), 6, None, "cd" * 32)


def test_a_label_that_is_missing_has_no_name(tmp_path: Path) -> None:
    write_metadata(tmp_path, ["a", "b"], [-1, 4], [None, None])
    names = cache_names(tmp_path, 2, np.array([-1, 4]), SHA)
    assert list(names.texts["label"]) == [None, "4"]


@pytest.mark.parametrize("content", [b"", b'file_name,x\n"a\nb",1,2\n', b"\xff\xfe,\n"])
def test_a_table_that_is_none_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metadata.csv").write_bytes(content)
    with pytest.raises(BadVectors, match=r"metadata\.csv"):
        cache_names(tmp_path, 1, None, SHA)


def test_a_column_that_is_missing_is_told_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("filename\na\n")
    with pytest.raises(BadVectors, match=r"has no column 'file_name'\. Did you mean 'filename'"):
        cache_names(tmp_path, 1, None, SHA)


def test_names_survive_commas_quotes_and_markup(tmp_path: Path) -> None:
    files = ['a,"b".png', "<script>alert(1)</script>", "two\nlines"]
    write_metadata(tmp_path, files, [0, 1, 2], files)
    write_meta(tmp_path, files, {"embeddings_sha256": SHA})
    names = cache_names(tmp_path, 3, np.arange(3), SHA)
    assert names.ids == tuple(files)
    assert json.loads((tmp_path / "meta.json").read_text())["file_marks"] != ""


def test_the_folder_is_named_as_the_seed_names_it(tmp_path: Path) -> None:
    found = cache_folder(tmp_path, "hf-hub:timm/ViT-SO400M-16-SigLIP2-384", "cs", "test", 1)
    assert found == tmp_path / "hf-hub_timm_ViT-SO400M-16-SigLIP2-384_cs" / "test" / "seed1"
    assert cache_folder(tmp_path, "../x", "..", "..", 0).resolve().is_relative_to(tmp_path)
