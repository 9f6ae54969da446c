"""Postings on disk: parts of whole segments, feature by feature, and the index over all parts.

A part holds `tokens.h5`, `values.h5` and `offsets.h5`, each one contiguous array that is mapped
into memory, and `statistics.h5`. `finish` gathers `index.h5`: per feature, where its entries lie in
every part, and its statistics.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from storage.drafts import Draft
from storage.hdf5 import appending, new_file, write_contiguous
from storage.parts import PartWriter
from storage.tokens.errors import BadActivations

Array = np.ndarray[Any, Any]

TOKENS, VALUES, OFFSETS, STATISTICS = "tokens.h5", "values.h5", "offsets.h5", "statistics.h5"
INDEX = "index.h5"
_TOP_ROWS = 1 << 12
_TOTALS = {"sum": np.float64, "sum_of_squares": np.float64, "histogram": np.int64}


@dataclass(frozen=True, eq=False)
class Summary:
    """Where the entries of each feature lie in a part, and their statistics.

    Feature f has the entries offsets[f * segments] to offsets[(f + 1) * segments].
    """

    segments: int
    offsets: Array
    """(n_features * segments + 1,) uint32: where a feature's entries in a segment begin."""
    sums: Array
    """(n_features,) float64."""
    squares: Array
    """(n_features,) float64: the sum of squares."""
    histogram: Array
    """(n_features, bins) uint32."""
    top: Array
    """(n_features, 64) uint64, value bits << 32 | ~token, best first, 0 for none."""


@dataclass(frozen=True)
class Span:
    """Which tokens a part covers, of how many listed features each."""

    first_token: int
    n_tokens: int
    k: int


def segment_names(n_tokens: int, segment_tokens: int) -> tuple[str, ...]:
    """Return the row ids of an index over so many tokens."""
    return tuple(f"segment-{number:06d}" for number in range(-(-n_tokens // segment_tokens)))


def segment_number(name: str) -> int:
    """Return which segment a row id names."""
    return int(name.removeprefix("segment-"))


@contextmanager
def writing_entries(
    writer: PartWriter, entries: int, kind: np.dtype[Any]
) -> Iterator[Callable[[Array, Array], None]]:
    """Yield what takes so many tokens (uint16) and values (`kind`), feature by feature, in each by
    token; on leaving, both files of the part are on the disk."""
    folder = writer.folder
    with (
        appending(folder / TOKENS, "token", entries, np.dtype(np.uint16)) as listed,
        appending(folder / VALUES, "value", entries, kind) as kept,
    ):

        def keep(tokens: Array, values: Array) -> None:
            listed.append(tokens)
            kept.append(values)

        yield keep
        writer.add(TOKENS, listed.finish())
        writer.add(VALUES, kept.finish())


def write_summary(writer: PartWriter, summary: Summary, span: Span, bin_edges: Array) -> None:
    """Write the other two files of a part."""
    path = writer.folder / OFFSETS
    writer.add(OFFSETS, write_contiguous(path, "offset", summary.offsets))
    path = writer.folder / STATISTICS
    with new_file(path) as file:
        for name, rows in _statistics(summary, bin_edges).items():
            file.create_dataset(name, data=rows)
        file.attrs.update({**vars(span), "segments": summary.segments})


def _statistics(summary: Summary, bin_edges: Array) -> dict[str, Array]:
    return {
        "sum": summary.sums,
        "sum_of_squares": summary.squares,
        "histogram": summary.histogram,
        "top": summary.top,
        "bin_edges": bin_edges,
    }


def map_array(path: Path, name: str) -> Array:
    """Return the contiguous dataset `name` of `path`, mapped into memory, read-only."""
    with h5py.File(path, "r") as file:
        dataset = file[name]
        shape, kind, offset = dataset.shape, dataset.dtype, dataset.id.get_offset()
    if not dataset_has_bytes(shape, offset):
        return np.empty(shape, kind)
    return np.memmap(path, kind, "r", offset, shape)


def dataset_has_bytes(shape: tuple[int, ...], offset: int | None) -> bool:
    """Whether HDF5 gave a dataset a place in its file."""
    return offset is not None and all(shape)


def finish(draft: Draft) -> None:
    """Write `index.h5` of all parts: offsets, statistics and the strongest tokens of a feature."""
    folders = _ordered([draft.parts / name for name in draft.part_rows])
    recipe = draft.plan["recipe"]
    path = draft.path / INDEX
    with new_file(path) as file:
        _write_totals(file, folders)
        _write_offsets(file, folders, recipe["n_features"])
        _write_top(file, folders, recipe)
        file.attrs["n_features"] = recipe["n_features"]
        file.attrs["values"] = recipe["values"]


def _ordered(folders: list[Path]) -> list[tuple[Path, Span, int]]:
    found = []
    for folder in folders:
        with h5py.File(folder / STATISTICS, "r") as file:
            span = Span(*(int(file.attrs[name]) for name in ("first_token", "n_tokens", "k")))
            found.append((folder, span, int(file.attrs["segments"])))
    found.sort(key=lambda part: part[1].first_token)
    _check_cover(found)
    return found


def _check_cover(parts: list[tuple[Path, Span, int]]) -> None:
    expected = 0
    for folder, span, _ in parts:
        if span.first_token != expected:
            raise BadActivations(
                f"{folder.name} begins at token {span.first_token}, not {expected}: segments are "
                "missing. Remove the draft and run again."
            )
        expected += span.n_tokens


def _write_totals(file: h5py.File, parts: list[tuple[Path, Span, int]]) -> None:
    totals, rows = dict[str, Array](), dict[str, Array]()
    for folder, _, _ in parts:
        with h5py.File(folder / STATISTICS, "r") as part:
            for name, kind in _TOTALS.items():
                rows[name] = _read(part[name], rows.get(name))
                if name in totals:
                    totals[name] += rows[name]
                else:
                    totals[name] = rows[name].astype(kind)
            edges = part["bin_edges"][:]
    for name, total in totals.items():
        file.create_dataset(name, data=total)
    file.create_dataset("count", data=totals["histogram"].sum(axis=1))
    file.create_dataset("bin_edges", data=edges)
    spans = [span for _, span, _ in parts]
    file.create_dataset("part_first_token", data=[span.first_token for span in spans])
    file.create_dataset("part_segments", data=[segments for *_, segments in parts])
    names = np.array([folder.name.encode() for folder, *_ in parts])
    file.create_dataset("part_name", data=names)
    file.attrs["n_tokens"] = sum(span.n_tokens for span in spans)
    file.attrs["k"] = spans[0].k


def _write_offsets(file: h5py.File, parts: list[tuple[Path, Span, int]], n_features: int) -> None:
    """Write `offsets` (n_features, segments + parts): of each part all segments' first entries and
    the end of the last."""
    width = sum(segments + 1 for *_, segments in parts)
    out = np.empty((n_features, width), np.uint32)
    column = 0
    for folder, _, segments in parts:
        offsets = map_array(folder / OFFSETS, "offset")
        out[:, column : column + segments] = offsets[:-1].reshape(n_features, segments)
        out[:, column + segments] = offsets[segments::segments]
        column += segments + 1
    file.create_dataset("offsets", data=out)


def _write_top(
    file: h5py.File, parts: list[tuple[Path, Span, int]], recipe: dict[str, Any]
) -> None:
    best = _best_of([folder for folder, *_ in parts])
    bits, kind = (np.uint16, np.float16) if recipe["values"] == "f16" else (np.uint32, np.float32)
    values, tokens = np.empty(best.shape, np.float32), np.empty(best.shape, np.uint32)
    for start in range(0, len(best), _TOP_ROWS):
        rows = slice(start, start + _TOP_ROWS)
        strongest = best[rows, ::-1]
        values[rows] = (strongest >> np.uint64(32)).astype(bits).view(kind)
        tokens[rows] = np.where(strongest == 0, np.uint32(0), (~strongest).astype(np.uint32))
    file.create_dataset("top_value", data=values)
    file.create_dataset("top_token", data=tokens)
    file.create_dataset("max", data=values[:, 0])


def _best_of(folders: list[Path]) -> Array:
    """Return the strongest entries of each feature in any part, ascending."""
    best, rows = _top_of(folders[0], None)[:, ::-1].copy(), None
    for folder in folders[1:]:
        rows = _top_of(folder, rows)
        # Where one order runs up and the other down, the larger of each two are the strongest.
        np.maximum(best, rows, out=best)
        best.sort(axis=1)
    return best


def _top_of(folder: Path, into: Array | None) -> Array:
    with h5py.File(folder / STATISTICS, "r") as part:
        return _read(part["top"], into)


def _read(dataset: h5py.Dataset, into: Array | None) -> Array:
    """Return the rows of a dataset, in the memory `into` of one like it, if any: fresh memory takes
    longer than the reading."""
    into = np.empty(dataset.shape, dataset.dtype) if into is None else into
    dataset.read_direct(into)
    return into
