"""The home page in a real browser: laid out, linked, and deaf to hostile names and reports."""

import time
from typing import Any

import pytest

pytestmark = pytest.mark.browser
PAGES = ("/", "/artifacts", "/artifact/{labels}", "/images", "/images/{dataset}", "/search?q=rose",
         "/runs", "/unfinished")  # fmt: skip


def until(driver: Any, script: str, seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := driver.execute_script(script):
            return found
        time.sleep(0.05)
    raise AssertionError(f"never true: {script}")


def see(driver: Any, served: Any, path: str) -> None:
    driver.get(served.address + path.format(**served.keys))


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_runs_nothing_and_has_no_fault(driver: Any, served: Any, path: str) -> None:
    driver.get_log("browser")
    see(driver, served, path)
    assert driver.execute_script("return window.hurt") is None
    wide = "const {scrollWidth, clientWidth} = document.documentElement;"
    assert driver.execute_script(f"{wide} return scrollWidth <= clientWidth"), "it fits the window"
    assert driver.execute_script("return getComputedStyle(document.body).marginTop") == "0px"
    assert not driver.get_log("browser"), "the policy allows all that the page needs"


def test_pictures_load_and_boxes_lie_on_them(driver: Any, served: Any) -> None:
    see(driver, served, "/images/{dataset}")
    until(driver, "return [...document.images].every(i => i.complete && i.naturalWidth)")
    picture, box = driver.execute_script("""
const box = document.querySelector(".frame rect").getBoundingClientRect();
const image = document.querySelector(".frame rect").closest(".frame").querySelector("img");
const {left, top, width, height} = image.getBoundingClientRect();
const scale = Math.min(width / 60, height / 40);
const x = left + (width - 60 * scale) / 2, y = top + (height - 40 * scale) / 2;
return [[x + 5 * scale, y + 6 * scale, 25 * scale], [box.left, box.top, box.width]];
""")
    assert box == pytest.approx(picture, abs=3), "5, 6 to 30, 26 of 60 x 40 pixels, to the line"


def test_a_report_is_shown_and_can_reach_neither_page_nor_server(driver: Any, served: Any) -> None:
    see(driver, served, "/artifact/{noise}")
    title = driver.title
    frame = driver.find_element("css selector", "iframe.report")
    driver.execute_script("arguments[0].scrollIntoView()", frame)
    driver.switch_to.frame(frame)
    told = until(driver, "const t = document.getElementById('told'); return t && t.textContent")
    until(driver, "return document.getElementById('told').textContent !== 'a report'")
    told = driver.execute_script("return document.getElementById('told').textContent")
    driver.switch_to.default_content()
    assert told == "alone", "its scripts run, and nothing can be fetched"
    assert driver.title == title != "taken"


def test_the_lineage_leads_to_parents(driver: Any, served: Any) -> None:
    see(driver, served, "/artifact/{labels}")
    boxes = driver.find_elements("css selector", ".lineage a")
    assert len(boxes) == 4
    driver.execute_script(
        "document.querySelector(arguments[0]).dispatchEvent(new MouseEvent('click', "
        "{bubbles: true}))",
        f".lineage a[href$='{served.keys['prompts']}']",
    )
    until(driver, f"return location.pathname === '/artifact/{served.keys['prompts']}'")
    assert "home/prompts" in driver.find_element("tag name", "h1").text


def test_a_search_is_typed_and_answered(driver: Any, served: Any) -> None:
    see(driver, served, "/search")
    field = driver.find_element("name", "q")
    field.send_keys("meadow\n")
    until(driver, "return location.search.includes('q=meadow')")
    until(driver, "return document.querySelectorAll('article').length === 5")


def test_the_page_is_dark_where_the_browser_is(driver: Any, served: Any) -> None:
    def ground(scheme: str) -> str:
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        see(driver, served, "/")
        return str(driver.execute_script("return getComputedStyle(document.body).backgroundColor"))

    try:
        assert ground("light") == "rgb(251, 251, 250)"
        assert ground("dark") == "rgb(19, 21, 23)"
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
