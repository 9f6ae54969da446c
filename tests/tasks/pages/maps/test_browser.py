"""A map's page in a real browser: pointed at, clicked, filtered, lassoed, and hostile."""

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.pages.maps import MapView

pytestmark = pytest.mark.browser
HOSTILE_START = "</script><script>window.hurt=1"


@pytest.fixture(scope="module")
def page(open_map: Callable[[MapView], Any], hostile_view: MapView) -> Any:
    return open_map(hostile_view)


def until(driver: Any, script: str, *given: Any, seconds: float = 30) -> Any:
    """Return what `script` says once it says something; fails when it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := driver.execute_script(script, *given):
            return found
        time.sleep(0.05)
    raise AssertionError(f"never true: {script}")


_WHERE = """
const map = document.getElementById("map"), {xaxis, yaxis} = map._fullLayout;
const box = map.getBoundingClientRect();
return [xaxis._offset + xaxis.c2p(arguments[0]) - box.width / 2,
        yaxis._offset + yaxis.c2p(arguments[1]) - box.height / 2];
"""


def pointer_to(page: Any, view: MapView, row: int) -> Any:
    """Return a chain of actions that ends at a point of the map."""
    from selenium.webdriver.common.action_chains import ActionChains

    x, y = page.execute_script(_WHERE, *map(float, view.coords[row]))
    chart = page.find_element("id", "map")
    return ActionChains(page, duration=50).move_to_element_with_offset(chart, round(x), round(y))


def lonely(view: MapView) -> int:
    """Return the point farthest from its nearest other: the one a pointer cannot miss."""
    gaps = np.linalg.norm(view.coords[:, None] - view.coords[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    nearest = np.nanmin(gaps, axis=1, initial=np.inf)
    nearest[(nearest == np.inf) | (np.arange(len(nearest)) <= 10)] = 0
    return int(nearest.argmax())


def find(page: Any, word: str) -> None:
    page.execute_script(
        "const w = document.getElementById('word'); w.value = arguments[0];"
        "w.dispatchEvent(new Event('input'));",
        word,
    )


def shown(page: Any) -> int:
    return int(page.execute_script("return document.getElementById('map').data[1].x.length"))


def choose_first_hit(page: Any, word: str) -> None:
    find(page, word)
    until(page, "return document.querySelectorAll('#hits button').length > 0")
    page.execute_script("document.querySelector('#hits button').click()")
    find(page, "")
    until(page, "return !document.querySelector('#hits button')")


def test_points_are_drawn_by_webgl(page: Any) -> None:
    assert shown(page) == 59
    assert page.execute_script("return document.body.textContent.includes('59 points')")
    assert not page.execute_script(
        "return document.getElementById('map').textContent.includes('WebGL is not supported')"
    )
    assert page.execute_script("return document.querySelectorAll('#map canvas').length") > 0


def test_nothing_hostile_runs_and_nothing_is_refused_by_the_policy(page: Any) -> None:
    choose_first_hit(page, "window.hurt")
    assert page.execute_script("return document.querySelector('#chosen .id').textContent")[
        : len(HOSTILE_START)
    ] == (HOSTILE_START)
    assert page.execute_script("return window.hurt") is None
    assert page.execute_script("return [...document.images].length") == 0
    severe = [line for line in page.get_log("browser") if line["level"] == "SEVERE"]
    assert severe == []


def test_no_request_leaves_the_page(page: Any) -> None:
    asked = page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in asked if not name.startswith("data:")] == []


def test_a_name_neither_turns_the_text_around_nor_breaks_the_line(page: Any) -> None:
    choose_first_hit(page, "window.hurt")
    told = page.execute_script("return document.getElementById('chosen').textContent")
    assert "\u202e" not in told
    assert "\ufffdgpj" in told


def test_a_picture_appears_under_the_pointer(page: Any, hostile_view: MapView) -> None:
    row = lonely(hostile_view)
    pointer_to(page, hostile_view, row).perform()
    until(page, "return document.getElementById('card').style.display === 'block'")
    assert (
        page.execute_script("return document.querySelector('#card .id').textContent")
        == hostile_view.ids[row]
    )
    until(page, "return document.querySelector('#card canvas').dataset.drawn === 'yes'")
    pixel = page.execute_script(
        "const c = document.querySelector('#card canvas'), m = c.width / 2;"
        "return [...c.getContext('2d').getImageData(m, m, 1, 1).data].slice(0, 3)"
    )
    expected = [200 if at == row // 20 else 30 for at in range(3)]
    assert np.abs(np.subtract(pixel, expected)).max() < 12


def test_a_click_shows_the_neighbours_in_the_original_space(
    page: Any, hostile_view: MapView
) -> None:
    row = lonely(hostile_view)
    pointer_to(page, hostile_view, row).click().perform()
    until(page, "return document.querySelectorAll('.near button').length === 5")
    near = page.execute_script(
        "return [...document.querySelectorAll('.near button')].map(b => Number(b.dataset.point))"
    )
    assert hostile_view.neighbours is not None
    assert near == hostile_view.neighbours[row].tolist()
    until(page, "return document.querySelectorAll('.near canvas[data-drawn]').length > 0")
    lines = page.execute_script(
        "return document.getElementById('map').layout.shapes.filter("
        "s => s.type === 'line' && (s.x0 !== s.x1 || s.y0 !== s.y1)).length"
    )
    placed = np.isfinite(hostile_view.coords[hostile_view.neighbours[row], 0]).sum()
    assert lines == placed


def test_what_is_said_of_kept_neighbours_is_counted_on_the_map(
    page: Any, hostile_view: MapView
) -> None:
    row = lonely(hostile_view)
    pointer_to(page, hostile_view, row).click().perform()
    gaps = np.linalg.norm(hostile_view.coords - hostile_view.coords[row], axis=1)
    gaps[row] = np.nan
    assert hostile_view.neighbours is not None
    kept = len(set(np.argsort(gaps)[:5]) & set(hostile_view.neighbours[row].tolist()))
    until(
        page,
        "return document.getElementById('chosen').textContent.includes(arguments[0])",
        f"{kept} of 5 are also among its 5 nearest on this map",
    )


def test_a_point_without_a_place_is_found_and_shown(page: Any) -> None:
    choose_first_hit(page, "photo 59")
    told = page.execute_script("return document.querySelector('#chosen .id').textContent")
    assert told == "photo 59.jpg"


def test_text_and_legend_filter_the_points(page: Any) -> None:
    find(page, "photo 1")
    until(page, "return document.getElementById('map').data[1].x.length === 10")
    find(page, "SEA")
    until(page, "return document.getElementById('map').data[1].x.length === 20")
    find(page, "")
    until(page, "return document.getElementById('map').data[1].x.length === 59")
    page.execute_script("document.querySelectorAll('#legend .toggle')[1].click()")
    until(page, "return document.getElementById('map').data[1].x.length === 39")
    page.execute_script("document.querySelectorAll('#legend .only')[1].click()")
    until(page, "return document.getElementById('map').data[1].x.length === 20")
    page.execute_script("document.querySelectorAll('#legend .only')[1].click()")
    until(page, "return document.getElementById('map').data[1].x.length === 59")


def colours(page: Any) -> set[str]:
    script = "return [...new Set(document.getElementById('map').data[1].marker.color)]"
    return set(page.execute_script(script))


def test_points_are_coloured_by_class_number_and_trust(page: Any) -> None:
    choices = page.execute_script(
        "return [...document.querySelectorAll('#colour option')].map(o => o.textContent)"
    )
    assert [choices[0], choices[1], *choices[3:]] == ["label", "split", "trust", "nothing"]
    counts = []
    for at in range(len(choices)):
        page.execute_script(
            "const c = document.getElementById('colour'); c.selectedIndex = arguments[0];"
            "c.dispatchEvent(new Event('change'))",
            at,
        )
        counts.append(len(colours(page)))
        if at == 2:
            first = "return document.getElementById('map').data[1].marker.color[0]"
            assert page.execute_script(first) == "#9a9a9a", "points without a value lie lowest"
    assert counts[:2] == [4, 2], "three labels and a missing one, two splits"
    assert counts[2] > 20
    assert counts[3] > 10
    assert counts[4] == 1
    page.execute_script(
        "const c = document.getElementById('colour'); c.selectedIndex = 0;"
        "c.dispatchEvent(new Event('change'))"
    )


def test_a_lasso_is_saved_as_csv_that_no_spreadsheet_runs(
    page: Any, hostile_view: MapView, downloads: Path
) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.execute_script("document.querySelector('.below [data-go]').click()")
    page.execute_script("document.getElementById('whole').click(); window.scrollTo(0, 0)")
    page.execute_script("document.querySelector('[data-mode=lasso]').click()")
    first = hostile_view.coords[:20]
    low, high = first.min(axis=0) - 0.7, first.max(axis=0) + 0.7
    corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
    places = [page.execute_script(_WHERE, float(x), float(y)) for x, y in corners]
    chart = page.find_element("id", "map")
    chain = ActionChains(page, duration=40)
    for at, (x, y) in enumerate([*places, places[0]]):
        chain.move_to_element_with_offset(chart, round(x), round(y))
        if at == 0:
            chain.click_and_hold()
    chain.release().perform()
    until(page, "return !document.getElementById('selection').hidden")
    assert page.execute_script("return document.getElementById('many').textContent") == "20 points"
    told = "return document.getElementById('map').data[1].selectedpoints.length"
    assert page.execute_script(told) == 20, "Plotly shows what the lasso holds, also after a click"
    page.execute_script("document.getElementById('save').click()")
    end = time.monotonic() + 10
    while not (found := list(downloads.glob("*.csv"))) and time.monotonic() < end:
        time.sleep(0.05)
    with found[0].open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(20))
    assert rows[0]["id"] == hostile_view.ids[0], "the true name, not what is shown of it"
    assert rows[1]["id"] == "'=HYPERLINK(1)"
    assert rows[7]["label"] == ""
    assert np.float32(rows[5]["x"]) == hostile_view.coords[5, 0]
    assert all(len(row["x"]) <= 12 for row in rows), "float32 as it is, not as a double"
    page.execute_script("document.getElementById('clear').click()")
    page.execute_script("document.querySelector('[data-mode=pan]').click()")


def test_a_table_leads_to_the_point(page: Any) -> None:
    page.execute_script("document.querySelector('.below [data-go]').click()")
    row = page.execute_script(
        "return Number(document.querySelector('.below [data-go]').dataset.go)"
    )
    name = page.execute_script("return document.querySelector('#chosen .id').textContent")
    assert name == f"photo {row:02d}.jpg" or row < 2


def test_distances_are_true_across_and_up_after_the_window_changed(page: Any) -> None:
    page.set_window_size(1000, 800)
    script = """
    const {xaxis, yaxis} = document.getElementById("map")._fullLayout;
    const unit = (axis) => (axis.range[1] - axis.range[0]) / axis._length;
    return Math.abs(unit(xaxis) / unit(yaxis) - 1) < 0.01;
    """
    until(page, script)
    page.set_window_size(1200, 900)
    until(page, script)


def test_nothing_reaches_beyond_a_narrow_window(page: Any) -> None:
    page.set_window_size(600, 900)
    wide = "return document.documentElement.scrollWidth <= window.innerWidth"
    until(page, wide)
    page.set_window_size(1200, 900)


@pytest.mark.parametrize("count", [1, 2])
def test_one_and_two_points_are_drawn(open_map: Callable[[MapView], Any], count: int) -> None:
    coords = np.full((count, 2), 3, np.float32)
    few = MapView("few", "PCA", coords, tuple(map(str, range(count))))
    page = open_map(few)
    assert shown(page) == count
    assert page.execute_script("return window.innerHeight") > 0
