"""A small map with everything on its page, and names that try to run."""

import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.map_page import chromium_options
from tasks.compute.diagnostics.report import Diagnostics, Leak, Share, SplitScore, Suspect
from tasks.compute.projection.trust import Estimate, Stability, TrustSummary
from tasks.pages.maps import Categories, MapView, Numbers, render_map

HOSTILE = (
    "</script><script>window.hurt=1</script>\"'><img src=x onerror=window.hurt=1>%{x}\u202egpj"
)
FORMULA = "=HYPERLINK(1)"
POINTS = 60
NAMES = (HOSTILE, "sea", FORMULA)


def jpeg(colour: tuple[int, int, int]) -> bytes:
    out = BytesIO()
    Image.new("RGB", (48, 32), colour).save(out, "JPEG")
    return out.getvalue()


def view(**changed: Any) -> MapView:
    """Three clusters of 20 points, far apart; point 59 has no place, points 0 and 2 no picture."""
    draw = np.random.default_rng(0)
    classes = np.repeat(np.arange(3, dtype=np.int32), POINTS // 3)
    vectors = (draw.normal(size=(POINTS, 8)) + 9 * classes[:, None]).astype(np.float32)
    coords = (draw.normal(size=(POINTS, 2)) + 30 * np.eye(3, 2)[classes]).astype(np.float32)
    gaps = np.linalg.norm(vectors[:, None] - vectors[None], axis=2) + 1e9 * np.eye(POINTS)
    near = np.argsort(gaps, axis=1, kind="stable")[:, :5]
    figures = TrustSummary(
        POINTS,
        5,
        trustworthiness=Estimate(0.97, 0.002, 50),
        continuity=Estimate(0.9, 0.002, 50),
        recall=Estimate(0.4, 0.002, 50),
        stability=Stability(3, 0.2, 0.1, 0.8),
    )
    point_trust = draw.uniform(0.3, 1, POINTS).astype(np.float32)
    coords[59] = np.nan
    labels = classes.copy()
    labels[7] = -1
    ids = [f"photo {number:02d}.jpg" for number in range(POINTS)]
    ids[0], ids[1] = HOSTILE, FORMULA
    scores = np.linspace(0, 1, POINTS, dtype=np.float32)
    scores[3] = np.nan
    colours = ((200, 30, 30), (30, 200, 30), (30, 30, 200))
    fields: dict[str, Any] = {
        "title": HOSTILE,
        "method": "PCA of 8 numbers",
        "coords": coords,
        "ids": tuple(ids),
        "columns": {
            "split": Categories(("train", HOSTILE), (np.arange(POINTS) % 2).astype(np.int32)),
            "label": Categories(NAMES, labels),
            HOSTILE: Numbers(scores),
        },
        "neighbours": near.astype(np.int32),
        "distances": np.take_along_axis(gaps, near, axis=1).astype(np.float32),
        "trust": figures,
        "point_trust": point_trust,
        "thumbnails": lambda row: None if row in (0, 2) else jpeg(colours[classes[row]]),
        "notes": (HOSTILE,),
        "diagnostics": diagnostics(),
    }
    return MapView(**(fields | changed))


def diagnostics() -> Diagnostics:
    split = SplitScore(HOSTILE, 30, 29, 0.4, Share(0.9, 0.05, 29), None, HOSTILE)
    leak = Leak(0, 1, "train", HOSTILE, 0.9991)
    suspect = Suspect(4, HOSTILE, "sea", 0.01, 0.98, 0.2)
    return Diagnostics(
        POINTS, 5, HOSTILE, (split,), Share(0.5, 0.01, 60), (leak,), 1, (suspect,), 1, (HOSTILE,)
    )


@pytest.fixture(scope="session")
def hostile_view() -> MapView:
    return view()


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def driver(downloads: Path) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = chromium_options()
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield started
    finally:
        started.quit()


@pytest.fixture(scope="session")
def open_map(driver: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[MapView], Any]:
    """Return a function that opens the page of a map and waits until it is drawn."""

    def opened(view: MapView) -> Any:
        from selenium.webdriver.support.wait import WebDriverWait

        path = tmp_path_factory.mktemp("map") / "map.html"
        path.write_text(render_map(view), encoding="utf-8")
        driver.get(path.as_uri())
        ready = "return document.getElementById('map').dataset.ready === 'yes'"
        WebDriverWait(driver, 30, 0.05).until(lambda _: driver.execute_script(ready))
        return driver

    return opened
