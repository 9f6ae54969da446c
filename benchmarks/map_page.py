"""How smoothly a map's page is dragged, against the same points in Plotly alone; how soon it opens.

Ours: the page of a map in headless chromium, its 50,000 points dragged by a mouse in 60 steps.
Theirs: what one would type, `plotly.graph_objects.Scattergl` as one HTML file whose drag is set to
pan. Milliseconds between the frames that a page gets while it is dragged, and of scripts a step;
how long frames wait for the drawing that ours does when it is let go; then the seconds from the
call of a page of 300,000 points until they are drawn. Without a GPU chromium draws by software.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks._harness import Figures, main
from tasks.pages.maps import Categories, MapView, render_map

_POINTS, _SMALL_POINTS = 50_000, 500
_MANY, _SMALL_MANY = 300_000, 1000
_CLASSES = 20
_ROUNDS = 3
_STEPS, _SMALL_STEPS = 60, 3
_STILL_SECONDS = 1.0

Array = np.ndarray[Any, Any]


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the ratio of the milliseconds that all but the slowest twentieth of frames take."""
    points, many = (_SMALL_POINTS, _SMALL_MANY) if small else (_POINTS, _MANY)
    rounds, steps = (1, _SMALL_STEPS) if small else (_ROUNDS, _STEPS)
    pages = {name: folder / f"{name}.html" for name in ("ours", "theirs", "large")}
    write_ours(points, pages["ours"])
    write_plain(points, pages["theirs"])
    write_ours(many, pages["large"])
    with chromium() as driver:
        ours = [drag(driver, pages["ours"], _READY, steps) for _ in range(rounds)]
        theirs = [drag(driver, pages["theirs"], _DRAWN, steps) for _ in range(rounds)]
        opened = [open_page(driver, pages["large"], _READY) for _ in range(rounds)]
        renderer = driver.execute_script(_RENDERER)
    smooth, rough = _dragged(ours), _dragged(theirs)
    found = smooth | {f"plotly_{name}": value for name, value in rough.items()}
    return {
        "ratio": round(rough["frame_milliseconds_p95"] / smooth["frame_milliseconds_p95"], 2),
        "unit": "frame milliseconds (95 %) of Plotly alone / of ours, while points are dragged",
        "points": points,
        **found,
        "many_points": many,
        "seconds_to_open_many": round(median(opened), 2),
        "bytes_of_many": pages["large"].stat().st_size,
        "drawn_by": renderer,
    }


def _dragged(rounds: list[Figures]) -> Figures:
    frames = np.concatenate([one["frames"] for one in rounds])
    return {
        "frame_milliseconds": round(float(np.median(frames)), 1),
        "frame_milliseconds_p95": round(float(np.quantile(frames, 0.95)), 1),
        "frame_milliseconds_largest": round(float(frames.max()), 1),
        "script_milliseconds_a_step": round(median(one["script"] for one in rounds), 2),
        "let_go_milliseconds": round(median(float(one["after"].max()) for one in rounds), 1),
    }


def _scene(points: int) -> tuple[Array, Array]:
    """Return places (points, 2) float32 in clusters, and the cluster of each."""
    draw = np.random.default_rng(0)
    codes = draw.integers(0, _CLASSES, points).astype(np.int32)
    centres = 9 * draw.standard_normal((_CLASSES, 2))
    return (draw.standard_normal((points, 2)) + centres[codes]).astype(np.float32), codes


def write_ours(points: int, path: Path) -> None:
    """Write the page of a map with labels and neighbours, without pictures."""
    coords, codes = _scene(points)
    near = np.random.default_rng(1).integers(0, points, (points, 10)).astype(np.int32)
    labels = Categories(tuple(f"class {at}" for at in range(_CLASSES)), codes)
    ids = tuple(f"folder/image_{at:06d}.jpg" for at in range(points))
    view = MapView("points", "drawn", coords, ids, {"label": labels}, near)
    path.write_text(render_map(view), encoding="utf-8")


def write_plain(points: int, path: Path) -> None:
    """Write the same points as Plotly alone draws them, its script inside."""
    from plotly.graph_objects import Figure, Scattergl

    coords, codes = _scene(points)
    traces = [
        Scattergl(x=x, y=y, mode="markers", name=f"class {at}")
        for at in range(_CLASSES)
        for x, y in [coords[codes == at].T]
    ]
    figure = Figure(traces, {"dragmode": "pan"})
    figure.write_html(path, include_plotlyjs=True, config={"scrollZoom": True})


_READY = "return document.getElementById('map')?.dataset.ready === 'yes'"
_DRAWN = "return !!document.querySelector('.js-plotly-plot .nsewdrag')"


def chromium_options() -> Any:
    """Return what chromium is started with: no window, 1200 x 900 pixels, WebGL by software, which
    it wants to be asked for where there is no GPU."""
    from selenium.webdriver.chrome.options import Options

    options = Options()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (
        "headless=new", "no-sandbox", "disable-dev-shm-usage", "enable-unsafe-swiftshader",
        "window-size=1200,900",
    ):  # fmt: skip
        options.add_argument(f"--{argument}")
    return options


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a driver of a headless chromium."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    service = Service(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=chromium_options(), service=service)
    try:
        driver.execute_cdp_cmd("Performance.enable", {})
        yield driver
    finally:
        driver.quit()


def open_page(driver: Any, path: Path, ready: str) -> float:
    """Return the seconds from the call of a page until its points are drawn."""
    began = time.perf_counter()
    driver.get(path.as_uri())
    while not driver.execute_script(ready):
        time.sleep(0.02)
    driver.execute_async_script(_TWO_FRAMES)
    return time.perf_counter() - began


_TWO_FRAMES = "const said = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(said))"
_COUNT = """
window.frames_ = [];
const count = (now) => { window.frames_.push(now); requestAnimationFrame(count); };
requestAnimationFrame(count);
"""
_COUNTED = "return window.frames_.splice(0)"
_RENDERER = """
const gl = document.createElement("canvas").getContext("webgl");
const told = gl.getExtension("WEBGL_debug_renderer_info");
return told ? gl.getParameter(told.UNMASKED_RENDERER_WEBGL) : "unknown";
"""


def drag(driver: Any, path: Path, ready: str, steps: int) -> Figures:
    """Return the milliseconds between frames while a page is dragged and `after` that, and those
    of scripts a step."""
    open_page(driver, path, ready)
    x, y = driver.execute_script(
        "const box = document.querySelector('.nsewdrag').getBoundingClientRect();"
        "return [box.left + box.width / 3, box.top + box.height / 3]"
    )
    mouse = _mouse(driver)
    mouse("mouseMoved", x, y)
    driver.execute_async_script(_TWO_FRAMES)
    driver.execute_script(_COUNT)
    mouse("mousePressed", x, y)
    before = _script_seconds(driver)
    for step in range(1, steps + 1):
        mouse("mouseMoved", x + 4 * step, y + 2 * step)
    script = _script_seconds(driver) - before
    frames = driver.execute_script(_COUNTED)
    mouse("mouseReleased", x + 4 * steps, y + 2 * steps)
    time.sleep(_STILL_SECONDS if steps == _STEPS else 0.2)
    after = driver.execute_script(_COUNTED)
    return {"frames": np.diff(frames), "after": np.diff(after), "script": 1000 * script / steps}


def _mouse(driver: Any) -> Callable[[str, float, float], object]:
    def act(kind: str, x: float, y: float) -> object:
        given = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        return driver.execute_cdp_cmd("Input.dispatchMouseEvent", given)

    return act


def _script_seconds(driver: Any) -> float:
    metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "ScriptDuration"))


if __name__ == "__main__":
    main("map_page", measure)
