"""A map's page dragged and zoomed in a real browser, by mouse, fingers and keys, however large."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from selenium.webdriver.support.wait import WebDriverWait

from tasks.pages.maps import Categories, MapView

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(open_map: Callable[[MapView], Any], hostile_view: MapView) -> Any:
    return open_map(hostile_view)


def middle_of(page: Any) -> tuple[float, float]:
    box = page.execute_script("return document.getElementById('map').getBoundingClientRect()")
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def mouse(page: Any, kind: str, x: float, y: float, **more: Any) -> None:
    given = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
    page.execute_cdp_cmd("Input.dispatchMouseEvent", given | more)


_SHOWN = "return document.getElementById('map').data[1].x.length"


def script_seconds(page: Any) -> float:
    metrics = page.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "ScriptDuration"))


_LOOKED_AT = """
const map = document.getElementById("map"), {xaxis, yaxis} = map._fullLayout;
const still = !map.classList.contains("moving");
const [left, right] = xaxis.range, top = yaxis.range[1];
return still && left !== arguments[0][0] && [left, top, (right - left) / xaxis._length];
"""


@pytest.fixture
def still_page(page: Any) -> Any:
    page.execute_script("document.getElementById('whole').click(); window.scrollTo(0, 0)")
    return page


def looked_at(page: Any, instead_of: Any = ()) -> Any:
    """Return what lies in the left upper corner of the map at rest, and a pixel's size."""
    before = list(map(float, instead_of))
    return np.array(
        WebDriverWait(page, 30, 0.05).until(lambda _: page.execute_script(_LOOKED_AT, before))
    )


def test_a_drag_moves_the_map_as_far_as_the_pointer(still_page: Any) -> None:
    before, (x, y) = looked_at(still_page), middle_of(still_page)
    mouse(still_page, "mousePressed", x, y)
    for step in range(1, 6):
        mouse(still_page, "mouseMoved", x + 10 * step, y - 6 * step)
    mouse(still_page, "mouseReleased", x + 50, y - 30)
    unit = before[2]
    expected = [before[0] - 50 * unit, before[1] - 30 * unit, unit]
    found = looked_at(still_page, instead_of=before)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_is_dragged_moves_before_it_is_drawn_anew(still_page: Any) -> None:
    looked_at(still_page)
    x, y = middle_of(still_page)
    still_page.execute_script(
        "window.pushes = new Set(); const drawn = document.querySelector('.plot-container');"
        "new MutationObserver(() => window.pushes.add(drawn.style.transform))"
        ".observe(drawn, {attributeFilter: ['style']})"
    )
    mouse(still_page, "mousePressed", x, y)
    mouse(still_page, "mouseMoved", x + 40, y)
    mouse(still_page, "mouseMoved", x + 50, y)
    mouse(still_page, "mouseReleased", x + 50, y)
    looked_at(still_page)
    assert any("translate" in one for one in still_page.execute_script("return [...pushes]"))
    assert still_page.execute_script(
        "return document.querySelector('.plot-container').style.transform === ''"
    )


def test_a_wheel_zooms_around_the_pointer(still_page: Any) -> None:
    before, (x, y) = looked_at(still_page), middle_of(still_page)
    mouse(still_page, "mouseWheel", x + 60, y, deltaX=0, deltaY=-500, button="none", buttons=0)
    after = looked_at(still_page, instead_of=before)
    assert after[2] == pytest.approx(before[2] / 2, rel=1e-6)
    width = still_page.execute_script("return document.getElementById('map').clientWidth")
    pointer = width / 2 + 60
    moved = after[0] + pointer * after[2] - before[0] - pointer * before[2]
    assert abs(moved) < before[2], "a pixel at most: a wheel's place is a whole number"


def test_two_fingers_zoom(still_page: Any) -> None:
    before, (x, y) = looked_at(still_page), middle_of(still_page)

    def touch(kind: str, *apart: float) -> None:
        places = [x + side * one for one in apart for side in (-1, 1)]
        points = [{"x": at, "y": y, "id": finger} for finger, at in enumerate(places)]
        given = {"type": kind, "touchPoints": points}
        still_page.execute_cdp_cmd("Input.dispatchTouchEvent", given)

    touch("touchStart", 40)
    for apart in (50, 60, 70, 80):
        touch("touchMove", apart)
    touch("touchEnd")
    after = looked_at(still_page, instead_of=before)
    assert after[2] == pytest.approx(before[2] / 2, rel=0.1)


def test_keys_move_and_zoom(still_page: Any) -> None:
    before = looked_at(still_page)
    still_page.execute_script("document.getElementById('map').focus({preventScroll: true})")
    seen = [before]
    for key in ("ArrowRight", "+"):
        given = {"type": "keyDown", "key": key}
        still_page.execute_cdp_cmd("Input.dispatchKeyEvent", given)
        seen.append(looked_at(still_page, instead_of=seen[-1]))
    assert seen[1][0] == pytest.approx(before[0] + 60 * before[2], rel=1e-6)
    assert seen[2][2] == pytest.approx(before[2] / 1.3, rel=1e-6)


def test_a_double_click_shows_the_whole_map(still_page: Any) -> None:
    before, (x, y) = looked_at(still_page), middle_of(still_page)
    mouse(still_page, "mouseWheel", x, y, deltaX=0, deltaY=-300, button="none", buttons=0)
    assert looked_at(still_page, instead_of=before)[2] < before[2]
    for count in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            mouse(still_page, kind, x, y, clickCount=count)
    still_page.execute_script("document.getElementById('let-go').click()")
    np.testing.assert_allclose(looked_at(still_page), before, rtol=1e-6)


@pytest.fixture(scope="module")
def large_page(open_map: Callable[[MapView], Any]) -> Any:
    """A page of 300,000 points."""
    draw = np.random.default_rng(0)
    count = 300_000
    codes = draw.integers(0, 20, count).astype(np.int32)
    coords = (draw.normal(size=(count, 2)) + 9 * draw.normal(size=(20, 2))[codes]).astype(
        np.float32
    )
    near = draw.integers(0, count, (count, 5)).astype(np.int32)
    labels = Categories(tuple(f"class {at}" for at in range(20)), codes)
    ids = tuple(f"folder/image_{at:06d}.jpg" for at in range(count))
    view = MapView("many", "drawn", coords, ids, {"label": labels}, near)
    return open_map(view)


def test_300_000_points_open(large_page: Any) -> None:
    assert large_page.execute_script(_SHOWN) == 300_000


def test_a_drag_costs_next_to_no_script_however_many_points_there_are(large_page: Any) -> None:
    large_page.execute_cdp_cmd("Performance.enable", {})
    left, top = middle_of(large_page)
    mouse(large_page, "mousePressed", left, top)
    before = script_seconds(large_page)
    for step in range(1, 31):
        mouse(large_page, "mouseMoved", left + 4 * step, top)
    spent = script_seconds(large_page) - before
    mouse(large_page, "mouseReleased", left + 120, top)
    assert spent / 30 < 0.008, "Plotly's own takes 9 ms a step, and draws all points in each"


def test_300_000_points_are_found_by_text(large_page: Any) -> None:
    large_page.find_element("id", "word").send_keys("image_00001")
    WebDriverWait(large_page, 30).until(lambda _: large_page.execute_script(_SHOWN) == 10)
