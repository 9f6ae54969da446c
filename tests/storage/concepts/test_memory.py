"""A store of 20,000 images with tokens, 34 GB if they were there: no read takes more memory than
what it returns, and a little.

The files are sparse: their token rows have places of the real size, and no bytes on the disk. What
is measured is the resident memory of a process of its own, so what HDF5 takes is seen, too.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from storage.concepts.file import texts_hash
from storage.concepts.view import Segment, write_virtual
from storage.hdf5 import write_pooled

ROWS, TOKENS, DIM, PART_ROWS = 20_000, 729, 1152, 256
ROW_BYTES, TOKEN_ROW_BYTES = DIM * 2, TOKENS * DIM * 2
TEMPLATES, WORDS, CONTEXT = 9, 24, 77
WORD_BYTES = CONTEXT * DIM * 4
LITTLE_BYTES = 24_000_000
"""Names, splits and row numbers of all rows, a block of pooled features, what Python takes."""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a moment"
)

MEASURING = """
import json, os, sys, time
from flows.cli import main
from storage.concepts import *
from storage.concepts import ConceptFile
import flows.cli.concepts, tasks.concepts.asking, tasks.concepts.heatmaps, tasks.pages.concepts
import tasks.pages.tables

def resident(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) * 1024

def measure(action):
    eval(action, {**globals(), "path": small, "rows": 320})  # imports and libraries are no read's
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before, began = resident("VmRSS"), time.perf_counter()
    eval(action, {**globals(), "path": large, "rows": 20_000})
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak_bytes": resident("VmHWM") - before}

large, small, actions, said = *sys.argv[1:3], json.loads(sys.argv[3]), sys.argv[4]
for number, action in enumerate(actions):
    child = os.fork()  # each begins alike: nothing that another let go is used again
    if not child:
        found = measure(action)
        with open(f"{said}.{number}", "w") as file:
            json.dump(found, file)
        os._exit(0)
    os.waitpid(child, 0)
"""
"""Runs each action in a fork of a process that has imported all, and says what it took."""


def write_tokens(path: Path) -> None:
    """Write a part of patch tokens that has its place in the file and no bytes: all are zero."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.CONTIGUOUS)
    plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space, name = h5py.h5s.create_simple((PART_ROWS, TOKENS, DIM)), b"image_token_features"
    with h5py.File(path, "w") as file:
        h5py.h5d.create(file.id, name, h5py.h5t.IEEE_F16LE, space, plan)


def write_store(home: Path, rows: int) -> Path:
    """Return a view as a run makes it, over token files in another order than its rows."""
    parts = [home / f"{number:05d}.tokens.h5" for number in range(-(-rows // PART_ROWS))]
    for part in parts:
        write_tokens(part)
    one = np.zeros(DIM, np.float16)
    one[0] = 1
    pooled = np.broadcast_to(one, (rows, DIM))
    write_pooled(home / "pooled.h5", "image_features", np.ascontiguousarray(pooled), {})
    path = home / "view.h5"
    with h5py.File(path, "w") as view:
        _write_rows(view, rows)
        whole = (home / "pooled.h5", Segment(0, 0, rows))
        write_virtual(view, "image_features", rows, [whole], home)
        write_virtual(view, "image_token_features", rows, _pieces(parts, rows), home)
    return path


def _pieces(parts: list[Path], rows: int) -> list[tuple[Path, Segment]]:
    """Rows lie in pieces of 64, of one file after another, as later additions scatter them."""
    found = []
    for piece in range(-(-rows // 64)):
        turn, part = divmod(piece, len(parts))
        found.append(
            (
                parts[part],
                Segment(part, 64 * (turn % (PART_ROWS // 64)), min(64, rows - 64 * piece)),
            )
        )
    return found


def _write_rows(view: h5py.File, rows: int) -> None:
    text, words = h5py.string_dtype("utf-8"), [f"word {number}" for number in range(WORDS)]
    counts = {"train": rows - 64, "test": 64}
    view["ids"] = np.arange(rows)
    view["labels"] = np.zeros(rows, np.int64)
    splits = [name for name, count in counts.items() for _ in range(count)]
    view.create_dataset("split", data=splits, dtype=text)
    uris = [f"folder/{row:06d}.jpeg" for row in range(rows)]
    view.create_dataset("uri", data=uris, dtype=text)
    for number in range(TEMPLATES):
        group = view.create_group(f"templates/concept_prompts_t{number + 1:02}")
        shape, texts = (WORDS, CONTEXT, DIM), [f"a cell with {word}" for word in words]
        group.create_dataset("text_token_features", shape, np.float32, chunks=True, fillvalue=0.1)
        group.create_dataset("texts", data=texts, dtype=text)
        group["text_features"] = np.eye(WORDS, DIM, dtype=np.float32)
        group.attrs.update(
            {"K": WORDS, "D": DIM, "T_txt": CONTEXT, "texts_hash": texts_hash(texts)}
        )
    said = {"split_counts": counts, "concept_texts": words}
    view.attrs.update({name: json.dumps(value) for name, value in said.items()})
    view.attrs.update({"D": DIM, "T_img": TOKENS, "token_space": "text", "logit_scale": 1.0})


def verb(*words: str) -> str:
    return f"main(['concepts', {words[0]!r}, path, *{list(words[1:])!r}])"


SUMMARIES = (
    "summarize_h5(path, show=False)",
    "summarize_h5(path)",
    verb("summarize"),
    verb("summarize", "--json"),
)
READS = {
    "get_template_names(path)": 0,
    verb("templates"): 0,
    "access_sample_by_index(path, rows - 1)": TOKEN_ROW_BYTES,
    verb("sample", "--index", "7"): TOKEN_ROW_BYTES,
    "access_batch(path, None, [5, rows - 9], 'cls')": 2 * ROW_BYTES,
    "access_batch(path, 'test', slice(None), 'both')": 64 * TOKEN_ROW_BYTES,
    "access_batch(path, None, range(0, rows, rows // 50), 'tokens')": 50 * TOKEN_ROW_BYTES,
    verb("batch", "--split", "test", "--rows", ":8", "--type", "tokens"): 8 * TOKEN_ROW_BYTES,
    verb("batch", "--rows", ":1", "--type", "both", "--json"): TOKEN_ROW_BYTES,
    "fetch_template_features(path, 'concept')": TEMPLATES * WORDS * DIM * 4,
    "fetch_template_features(path, 'concept', concept_list=['word 3'], features='tokens')": (
        TEMPLATES * WORD_BYTES
    ),
    verb("fetch", "--template", "concept_prompts_t01", "--tokens"): WORDS * WORD_BYTES,
    verb("fetch", "--concept", "word 3", "--json"): TEMPLATES * DIM * 4,
    "validate_h5(path, show=False)": 0,
    verb("validate"): 0,
    "ConceptFile(path).tokens(range(100, 120))": 20 * TOKEN_ROW_BYTES,
    verb("search", "--concept", "word 3"): 0,
    verb("search", "--image", "folder/000007.jpeg"): 0,
    "tasks.concepts.heatmaps.concept_heatmap(ConceptFile(path), '7', 'word 3')": (
        TEMPLATES * WORD_BYTES
    ),
}
"""Each read with the bytes that it returns."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Return seconds and peak memory of every read."""
    said = tmp_path_factory.mktemp("said") / "said"
    actions = [*SUMMARIES, *READS]
    large, small = (write_store(tmp_path_factory.mktemp("store"), rows) for rows in (ROWS, 320))
    words = ["-c", MEASURING, str(large), str(small), json.dumps(actions), str(said)]
    # Else what is freed may be kept for later: large arrays are to be seen come and go.
    place = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run([sys.executable, *words], env=place, capture_output=True, text=True)
    found = {}
    for number, action in enumerate(actions):
        path = said.with_name(f"said.{number}")
        assert path.is_file(), f"{action} failed: {done.stderr}"
        found[action] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("read", SUMMARIES)
def test_it_is_summarized_in_under_a_second_and_nothing_of_it_is_loaded(
    measured: dict[str, dict[str, float]], read: str
) -> None:
    assert measured[read]["seconds"] < 1
    assert measured[read]["peak_bytes"] < LITTLE_BYTES / 4


@pytest.mark.parametrize("read", READS)
def test_the_peak_memory_of_a_read_is_what_it_returns_and_a_little(
    measured: dict[str, dict[str, float]], read: str
) -> None:
    assert measured[read]["peak_bytes"] < 1.1 * READS[read] + LITTLE_BYTES
