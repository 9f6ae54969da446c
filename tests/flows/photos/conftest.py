"""Photographs in a folder, and what the flow `photos` makes of them, with and without a server."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from PIL import ExifTags, Image

from benchmarks._making import PlainRun
from conf.load import LoadedPreset
from conf.models import ModelSpec
from conf.photos import Preset
from conf.prompts import PromptSet
from conf.runtime import Runtime
from conf.sources.folder import Source
from flows.photos import make_photos
from flows.planning import Plan, plan
from flows.run import Run

WORDS = PromptSet(templates=("a {}",), vocabulary=("sea", "city", "sky"))
HOSTILE = "a<script>\"'%{x}\n\u202egpj" + "A" * 150 + ".jpg"


def write_photo(
    path: Path, seed: int, *, size: tuple[int, int] = (60, 40), turned: int = 1
) -> Path:
    """Write a noisy JPEG whose upright size is `size`."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = turned, "Maker<b>"
    stored = size[::-1] if turned == 6 else size
    pixels = np.random.default_rng(seed).integers(0, 256, (stored[1], stored[0], 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG", exif=exif, quality=90)
    os.utime(path, (1, 1))
    return path


@pytest.fixture
def write() -> Callable[..., Path]:
    """Return what writes a photo."""
    return write_photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of four photos, one of them twice, one hostile by name, one turned, and one
    that is broken."""
    for number, name in enumerate(("a.jpg", HOSTILE, "sub/b.jpg")):
        write_photo(tmp_path / "photos" / name, number)
    write_photo(tmp_path / "photos" / "turned.jpg", 9, size=(100, 200), turned=6)
    (tmp_path / "photos" / "z-copy.jpg").write_bytes((tmp_path / "photos" / "a.jpg").read_bytes())
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "photos"


@pytest.fixture(autouse=True)
def events() -> Iterator[list[dict[str, Any]]]:
    """Return the events that are sent; none leaves the test."""
    sent: list[dict[str, Any]] = []

    def send(event: str, **given: Any) -> None:
        sent.append({"event": event, **given})

    with patch("prefect.events.emit_event", send):
        yield sent


@pytest.fixture
def preset(folder: Path, toy: ModelSpec) -> Callable[..., Preset]:
    """Return what makes settings: `folder` through all stages, unless told otherwise."""

    def make(**changes: Any) -> Preset:
        settings: dict[str, Any] = {
            "source": Source(root=folder),
            "model": toy,
            "prompts": WORDS,
            "max_side_px": 64,
            "top": 2,
            "out": folder.parent / "out",
        }
        return Preset(**settings | changes)

    return make


@pytest.fixture
def make(runtime: Runtime, check_plan: Callable[[Plan, Run], None]) -> Callable[..., Run]:
    """Return what takes photos through their stages without a Prefect server, as planned."""

    def run(settings: Preset, here: Runtime | None = None) -> Run:
        where = here or runtime
        foreseen = plan(LoadedPreset("photos", "photos", "", settings, where), where)
        made = PlainRun("photos", where)
        make_photos(made, settings)
        check_plan(foreseen, made)
        return made.close()

    return run


@pytest.fixture
def exported(folder: Path) -> Callable[..., dict[str, Any]]:
    """Return what reads the one batch that was exported."""

    def read(stage: str = "") -> dict[str, Any]:
        paths = (folder.parent / "out").glob("*.json")
        (path,) = (p for p in paths if p.stem.partition(".")[2] == stage)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    return read
