"""Datasets of MedMNIST: the archive that the medmnist package knows, with the names of its labels.

The package imports torch, so its table of datasets is read as text, and it is imported only to
download.
"""

import ast
import importlib
import os
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from conf.errors import RecipeError, did_you_mean
from conf.sources import npz
from conf.sources.medmnist import Source
from storage.readers.arrays import ArrayRows
from storage.readers.digits import find_inside
from storage.readers.npz import Archive
from storage.readers.protocol import Entry, SourceMissing

_TABLE = Path("info.py")


def open_source(spec: Source, roots: tuple[Path, ...]) -> ArrayRows:
    """Return the rows of a dataset, downloaded if need be.

    Raises RecipeError for an unknown dataset and SourceMissing where the archive is not there and
    cannot be had. `roots` plays no part.
    """
    about = _about(spec.name)
    path = _archive_path(spec)
    if not path.is_file():
        _download(spec, path, about)
    # Several labels an image are no label: those datasets come without.
    labels = not str(about["task"]).startswith("multi-label")
    told = npz.Source(
        path=path,
        labels=labels,
        limit=spec.limit,
        max_megapixels=spec.max_megapixels,
        max_gigabytes=spec.max_gigabytes,
    )
    archive = Archive(path, told)
    names = {int(number): str(name) for number, name in about["label"].items()} if labels else {}

    def entries() -> list[Entry]:
        return [e._replace(label_name=names.get(e.label)) for e in archive.entries()]

    return ArrayRows(entries, archive.stamp, archive.pixels)


def _archive_path(spec: Source) -> Path:
    size = "" if spec.size_px == 28 else f"_{spec.size_px}"
    root = Path(os.path.abspath(spec.root.expanduser()))
    return root / f"{spec.name}{size}.npz"


def _about(name: str) -> dict[str, Any]:
    table = _datasets(find_inside("medmnist", "medmnist", _TABLE))
    if name not in table:
        raise RecipeError(f"MedMNIST has no dataset {name!r}. {did_you_mean(name, table)}")
    return table[name]


@cache
def _datasets(path: Path) -> dict[str, dict[str, Any]]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "INFO":
            found: dict[str, dict[str, Any]] = ast.literal_eval(node.value)
            return found
    raise SourceMissing(
        f"{path} has no table of datasets: another medmnist than 3.0 is installed. "
        "`pip install medmnist==3.0.2` brings the one that is known."
    )


def _download(spec: Source, path: Path, about: dict[str, Any]) -> None:
    """Have the medmnist package download the archive, whole or not at all."""
    url = about.get("url" if spec.size_px == 28 else f"url_{spec.size_px}")
    if url is None:
        sizes = ["28", *(name[4:] for name in about if re.fullmatch(r"url_\d+", name))]
        raise RecipeError(
            f"MedMNIST has no {spec.name} of {spec.size_px} pixels; source.size_px may be "
            f"{', '.join(sizes)}."
        )
    if not spec.download:
        raise _missing(path, url, "source.download is false.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".medmnist-") as folder:
        dataset = getattr(importlib.import_module("medmnist"), about["python_class"])
        try:
            dataset(split="train", download=True, root=folder, size=spec.size_px)
        except (RuntimeError, OSError) as error:
            raise _missing(path, url, "the download failed: is there a network?") from error
        shutil.move(Path(folder, path.name), path)


def _missing(path: Path, url: str, why: str) -> SourceMissing:
    return SourceMissing(
        f"the archive {path} is not there, and {why} Download {url} on a machine with a network "
        f"and save it as {path}, or name the directory that has it: --set source.root=DIRECTORY."
    )
