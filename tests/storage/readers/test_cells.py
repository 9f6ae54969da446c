"""Rendered blood smears: the same everywhere, known to the pixel, hard enough to be worth it."""

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from conf.sources.cells import Source
from storage.dataset import open_rows, scan
from storage.hashes import Hashes
from storage.readers.arrays import unpack
from storage.readers.cells.draws import Draws
from storage.readers.cells.kinds import KINDS
from storage.readers.cells.scene import MAX_BLUR_PX, Scene, _blurred, picture, scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(11, number, 160) for number in range(150)]


def test_a_scene_is_the_same_on_every_machine() -> None:
    # Another digest means other scenes of the same seed: raise scene.VERSION with it, or datasets
    # that were scanned before are read as changed.
    drawn = [picture(5, number, 128).tobytes() for number in range(4)]
    seen = [scene(5, number, 128).seen.tobytes() for number in range(4)]
    digests = [hashlib.sha256(b"".join(data)).hexdigest()[:16] for data in (drawn, seen)]
    assert digests == ["8169a7737e0f0477", "07ef8049f3bd7272"]


def test_other_seeds_and_numbers_are_other_scenes() -> None:
    drawn = {picture(seed, number, 64).tobytes() for seed in (0, 1) for number in (0, 1)}
    assert len(drawn) == 4


def test_there_are_seven_kinds_five_of_them_white_cells(scenes: list[Scene]) -> None:
    assert Counter(kind.superclass for kind in KINDS) == {
        "red cell": 1,
        "platelet": 1,
        "white cell": 5,
    }
    counts = Counter(cell.class_id for found in scenes for cell in found.cells)
    assert set(counts) == set(range(7))
    assert min(counts.values()) > 60


def test_a_fifth_of_all_cells_overlap(scenes: list[Scene]) -> None:
    overlapped = [is_so for found in scenes for is_so in found.overlapped]
    assert 0.17 <= np.mean(overlapped) <= 0.25


def test_overlapping_is_what_the_outlines_say(scenes: list[Scene]) -> None:
    found = next(found for found in scenes if 1 < sum(found.overlapped) < len(found.cells))
    pairs = [at for at, is_so in enumerate(found.overlapped) if is_so]
    for at in pairs:
        nearest_px = min(
            np.hypot(found.cells[at].x_px - other.x_px, found.cells[at].y_px - other.y_px)
            / (found.cells[at].radius_px + other.radius_px)
            for number, other in enumerate(found.cells)
            if number != at
        )
        assert nearest_px < 1


def test_no_cell_is_hidden_by_half_and_some_fields_are_empty(scenes: list[Scene]) -> None:
    shares = [
        (found.seen == at + 1).sum() / (np.pi * cell.radius_px**2)
        for found in scenes
        for at, cell in enumerate(found.cells)
        # of those that the border does not cut
        if 1.3 * cell.radius_px < min(cell.x_px, cell.y_px)
        and max(cell.x_px, cell.y_px) < 160 - 1.3 * cell.radius_px
    ]
    assert min(shares) > 0.5
    assert 1 <= sum(not found.cells for found in scenes) <= 8


def test_cells_grow_with_the_picture_and_stay_where_they_are() -> None:
    small, large = scene(4, 1, 100), scene(4, 1, 300)
    assert [cell.class_id for cell in small.cells] == [cell.class_id for cell in large.cells]
    for one, other in zip(small.cells, large.cells, strict=True):
        assert (3 * one.x_px, 3 * one.radius_px) == pytest.approx((other.x_px, other.radius_px))


def test_a_picture_shows_what_is_said_to_be_there() -> None:
    found, drawn = scene(11, 1, 160), picture(11, 1, 160).astype(float)
    plasma = np.median(drawn[found.seen == 0], axis=0)
    for at, cell in enumerate(found.cells):
        inside = np.median(drawn[found.seen == at + 1], axis=0)
        assert inside[1] < plasma[1] - 8, KINDS[cell.class_id].name  # all of them take up green


def test_light_is_uneven_and_every_picture_has_noise() -> None:
    corners, noise = [], []
    for number in range(12):
        drawn = picture(8, number, 96).astype(float)
        quarters = [drawn[:48, :48], drawn[:48, 48:], drawn[48:, :48], drawn[48:, 48:]]
        plasma = [np.percentile(quarter, 80) for quarter in quarters]
        corners.append(max(plasma) - min(plasma))
        noise.append(np.abs(np.diff(drawn, n=2, axis=1)).mean())
    assert np.mean(corners) > 10
    assert min(noise) > 0.5


@pytest.mark.parametrize("sigma_px", [0.8, 1.5, MAX_BLUR_PX])
def test_blur_spreads_a_point_by_its_deviation_and_loses_no_light(sigma_px: float) -> None:
    point = np.zeros((41, 41, 3), np.float32)
    point[20, 20] = 1
    blurred = _blurred(point, sigma_px)[:, :, 0].astype(float)
    offsets = np.arange(41) - 20
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    assert (blurred.sum(axis=0) * offsets**2).sum() ** 0.5 == pytest.approx(sigma_px, rel=0.03)
    assert np.allclose(_blurred(np.full((30, 30, 3), 7, np.float32), sigma_px), 7, atol=1e-4)


def test_a_sharp_picture_is_left_alone() -> None:
    drawn = np.ones((4, 4, 3), np.float32)
    assert _blurred(drawn, 0.1) is drawn


def test_directions_are_unit_vectors_all_around() -> None:
    draws = Draws(1)
    found = np.array([draws.direction() for _ in range(2000)])
    assert np.allclose(np.hypot(*found.T), 1)
    sectors = np.histogram(np.arctan2(*found.T), bins=8, range=(-np.pi, np.pi))[0]
    assert sectors.min() > 180


def test_noise_has_mean_0_and_deviation_1() -> None:
    noise = Draws(2).noise(100, 100, 3)
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 0.02
    assert noise.std() == pytest.approx(1, abs=0.02)


def test_rows_are_the_scenes_and_every_fifth_is_held_out() -> None:
    rows = open_rows(Source(count=10, seed=5, size_px=128))
    entries = rows.entries()
    assert [entry.uri for entry in entries][:2] == ["00000", "00001"]
    assert [entry.split for entry in entries].count("test") == 2
    assert np.array_equal(unpack(rows.read("00003")), picture(5, 3, 128))
    fewer = open_rows(Source(count=10, limit=3, seed=5, size_px=128)).entries()
    assert fewer == entries[:3], "the first scenes of a larger count are the same"


def test_a_scene_that_was_hashed_is_not_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ledger_of(source: Source) -> tuple[str, ...]:
        with Hashes(tmp_path / "hashes.sqlite") as hashes:
            return scan(open_rows(source), hashes, threads=1, max_megapixels=1).contents

    first = ledger_of(Source(count=3, size_px=64))
    other = ledger_of(Source(count=3, size_px=64, seed=1))
    monkeypatch.setattr("storage.readers.cells.picture", None)
    assert ledger_of(Source(count=2, size_px=64)) == first[:2]
    assert not set(first) & set(other)


def test_drawing_a_scene_needs_numpy_only() -> None:
    code = (
        "import sys; from storage.readers.cells.scene import picture; picture(0, 0, 64); "
        "assert not {'scipy', 'PIL', 'torch', 'skimage', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
