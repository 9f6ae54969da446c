"""The concept store of a run: sealed parts, and the view `conceptclip_features.h5` over them.

Part rows are "index" and the names of the parts of image tokens. The part of "index" holds
`index.h5` (ids, labels, splits, templates, attributes) and `pooled.h5` (all pooled features, in the
order of the ledger); the others hold the hard-linked token files of the image features.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from conf.keys import ArtifactKey
from storage.atomic import fsync_directory, fsync_file, link_or_copy, rename, temporary_beside
from storage.concepts.file import (
    IDS,
    LABELS,
    NAME,
    POOLED,
    SPLIT,
    TEMPLATES,
    TEXT,
    TOKENS,
    Array,
    now,
    split_counts,
)
from storage.concepts.templates import fill_template
from storage.concepts.writing import attribute
from storage.dataset import Ledger
from storage.drafts import Draft
from storage.hdf5 import new_file, write_pooled
from storage.images import TOKENS as TOKENS_FILE
from storage.images import ImageFeatures
from storage.parts import PartWriter
from storage.store import Artifact, ArtifactStore

INDEX = "index"
INDEX_FILE, POOLED_FILE = "index.h5", "pooled.h5"
SEGMENTS = "token_segments"
_TOKENS_SUFFIX = ".tokens.h5"


class Segment(NamedTuple):
    """Rows of the view that lie side by side in one part of image tokens."""

    part: int
    """The number of the part among those of the image features."""
    position: int
    """Its first row in that part."""
    rows: int


@dataclass(frozen=True, eq=False)
class Template:
    """One template group to be written."""

    texts: Sequence[str]
    features: Array
    tokens: Array | None
    spans: Array | None
    logits: Mapping[str, float]


def inputs_of(
    dataset: ArtifactKey,
    images: ArtifactKey,
    prompts: Mapping[str, ArtifactKey],
    texts: ArtifactKey | None,
) -> dict[str, ArtifactKey]:
    """Return the inputs of a concept store, as its key names them."""
    found = {"dataset": dataset, "images": images, **prompts}
    return found if texts is None else found | {"texts": texts}


def part_rows(images: ImageFeatures, *, tokens: bool) -> tuple[str, ...]:
    """Return the row ids of a concept store over `images`."""
    return (INDEX, *(marker.part for marker in images.markers)) if tokens else (INDEX,)


def ok_rows(ledger: Ledger) -> list[int]:
    """Return the ledger's rows that have features, in order: they are the rows of the view."""
    return [row for row, status in enumerate(ledger.status) if status == "ok"]


def segments(images: ImageFeatures, contents: Sequence[str]) -> list[Segment]:
    """Return where the tokens of `contents` lie, in as few pieces as there are."""
    places = {
        content: (number, position)
        for number, marker in enumerate(images.markers)
        for position, content in enumerate(marker.rows)
    }
    found: list[Segment] = []
    for content in contents:
        part, position = places[content]
        last = found[-1] if found else None
        if last and (part, position) == (last.part, last.position + last.rows):
            found[-1] = last._replace(rows=last.rows + 1)
        else:
            found.append(Segment(part, position, 1))
    return found


def write_index(
    writer: PartWriter,
    ledger: Ledger,
    images: ImageFeatures,
    templates: Mapping[str, Template],
    root: Mapping[str, Any],
    *,
    tokens: bool,
    projection: Array | None = None,
) -> None:
    """Write `index.h5` and `pooled.h5` into the part of "index"."""
    rows = ok_rows(ledger)
    contents = [str(ledger.sha256[row]) for row in rows]
    path = writer.folder / INDEX_FILE
    with new_file(path) as file:
        _write_rows(file, ledger, rows, contents)
        if tokens:
            file[SEGMENTS] = np.array(segments(images, contents), np.int64).reshape(-1, 3)
        if projection is not None:
            file["token_projection"] = projection.astype(np.float32)
        groups = file.create_group(TEMPLATES)
        for name, template in templates.items():
            _write_template(groups.create_group(name), template)
        file.attrs.update({name: attribute(value) for name, value in root.items()})
    write_pooled(writer.folder / POOLED_FILE, POOLED, images.pooled(contents), {})


def _write_rows(file: h5py.File, ledger: Ledger, rows: list[int], contents: list[str]) -> None:
    digests = np.frombuffer(bytes.fromhex("".join(contents)), np.uint8).reshape(-1, 32)
    file[IDS] = np.arange(len(rows), dtype=np.int64)
    file[LABELS] = np.array([ledger.label[row] for row in rows], np.int64)
    file["row_id"] = np.array(rows, np.int64)
    file["content_sha256"] = digests
    for name, words in ((SPLIT, ledger.split), ("uri", ledger.uri)):
        file.create_dataset(name, data=[words[row] for row in rows], dtype=TEXT)


def _write_template(group: h5py.Group, template: Template) -> None:
    fill_template(group, template.texts, template.features, template.tokens, template.spans)
    group.attrs.update(template.logits)


def link_tokens(writer: PartWriter, store: ArtifactStore, images: Artifact, part: str) -> None:
    """Take over the token file of one part of `images`, under a name of its own."""
    sums = store.manifest(images.key).files[f"parts/{part}/{TOKENS_FILE}"]
    name = f"{part.rpartition('.')[2]}{_TOKENS_SUFFIX}"
    link_or_copy(store.path_of(images) / "parts" / part / TOKENS_FILE, writer.folder / name)
    writer.add(name, sums)


def finish(draft: Draft) -> None:
    """Write the view over the sealed parts, open it, and compare a row of every part."""
    path = draft.path / NAME
    temporary = temporary_beside(path)
    with new_file(temporary) as view:
        _write_view(view, draft)
    fsync_file(temporary)
    rename(temporary, path)
    fsync_directory(draft.path)
    _check(path)


def _write_view(view: h5py.File, draft: Draft) -> None:
    (index,) = draft.parts.glob(f"*/{INDEX_FILE}")
    pooled = index.with_name(POOLED_FILE)
    with h5py.File(index, "r") as file:
        for name in file:
            if name != SEGMENTS:
                file.copy(name, view)
        view.attrs.update(dict(file.attrs))
        found = file[SEGMENTS][:].tolist() if SEGMENTS in file else []
    view.attrs["artifact"] = str(draft.key)
    rows = len(view[IDS])
    write_virtual(view, POOLED, rows, [(pooled, Segment(0, 0, rows))] if rows else [], draft.path)
    if found:
        paths = _token_files(draft)
        places = [(paths[segment[0]], Segment(*segment)) for segment in found]
        write_virtual(view, TOKENS, rows, places, draft.path)


def _token_files(draft: Draft) -> dict[int, Path]:
    found = draft.parts.glob(f"*/*{_TOKENS_SUFFIX}")
    return {int(path.name.removesuffix(_TOKENS_SUFFIX)): path for path in found}


def write_virtual(
    view: h5py.File, name: str, rows: int, places: Sequence[tuple[Path, Segment]], home: Path
) -> None:
    """Make dataset `name` of `rows` rows, each a row of another file; a lost file reads as NaN."""
    shapes = {path: _shape(path, name) for path in {path for path, _ in places}}
    row_shape = next(iter(shapes.values()))[1:] if shapes else (int(view.attrs["D"]),)
    layout = h5py.VirtualLayout((rows, *row_shape), np.float16)
    first = 0
    for path, segment in places:
        source = h5py.VirtualSource(
            os.path.relpath(path, home), name, shapes[path], dtype=np.float16
        )
        stop = segment.position + segment.rows
        layout[first : first + segment.rows] = source[segment.position : stop]
        first += segment.rows
    view.create_virtual_dataset(name, layout, fillvalue=np.nan)


def _shape(path: Path, name: str) -> tuple[int, ...]:
    with h5py.File(path, "r") as file:
        shape: tuple[int, ...] = file[name].shape
        return shape


def _check(path: Path) -> None:
    """Read the first row of each piece through the view and straight: they are the same."""
    from storage.concepts.rows import RowReader

    with h5py.File(path, "r") as view:
        for name in (POOLED, TOKENS):
            if name not in view or not len(view[name]):
                continue
            reader = RowReader(view[name])
            for row in _firsts(view[name]):
                assert np.array_equal(view[name][row], reader.read([row])[0], equal_nan=True)


def _firsts(dataset: h5py.Dataset, most: int = 64) -> Iterator[int]:
    sources = dataset.virtual_sources()
    for mapping in sources[:: max(1, len(sources) // most)]:
        yield int(mapping.vspace.get_select_bounds()[0][0])


def root_attributes(
    *,
    dim: int,
    tokens: int,
    ledger: Ledger,
    vocabularies: Mapping[str, Sequence[str]],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the root attributes that the data decides; parameters that are None are left out."""
    splits = [ledger.split[row] for row in ok_rows(ledger)]
    found: dict[str, Any] = {
        "D": dim,
        "T_img": tokens,
        "created_at": now(),
        "split_counts": json.dumps(split_counts(splits)),
    }
    found |= {name: json.dumps(list(words), ensure_ascii=False)
              for name, words in vocabularies.items()}  # fmt: skip
    return found | {name: value for name, value in more.items() if value is not None}
