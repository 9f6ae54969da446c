"""The page of detections, in text and in a real browser."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.pages.detections import Picture, Shape, detection_page, run_path

HOSTILE = '<img src=x onerror="window.hurt=1">"\'</g></svg><script>window.hurt=1</script>'


def jpeg() -> bytes:
    out = BytesIO()
    Image.new("RGB", (40, 20), (200, 180, 180)).save(out, "JPEG")
    return out.getvalue()


def page() -> str:
    mask = np.zeros((20, 40), np.bool_)
    mask[5:10, 10:20] = True
    cell, other = (4.0, 2.0, 24.0, 12.0), (1.0, 1.0, 9.0, 9.0)
    first = Picture(
        "first.png",
        jpeg(),
        (40, 20),
        [
            Shape("red cell", cell, mask, 0.9, is_matched=True),
            Shape(HOSTILE, other, None, 0.3, is_matched=False),
        ],
        [Shape("red cell", cell, mask, None, is_matched=True)],
        [("box_loss", 0.5), ("seg_loss", None)],
    )
    second = Picture(HOSTILE, None, (40, 20), [Shape("platelet", other, None, 0.6)], None)
    return detection_page(HOSTILE, ["pocket-segmenter, 2 images"], [first, second])


def test_a_mask_is_covered_by_bars_pixel_for_pixel() -> None:
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]], np.bool_)
    assert run_path(mask) == "M0 0h2v1h-2zM3 0h1v1h-1zM1 2h2v1h-2z"
    assert run_path(np.zeros((3, 3), np.bool_)) == ""


def test_names_are_shown_and_mean_nothing_else() -> None:
    told = page()
    assert "<script>window" not in told
    assert "<img src=x" not in told
    assert "&lt;img src=x" in told


def test_what_is_known_what_was_found_and_what_is_missing_is_said() -> None:
    told = page()
    assert "known: 1" in told
    assert "found: 2" in told
    assert "nothing is known" in told
    assert "box_loss 0.500" in told
    assert "seg_loss" not in told
    assert told.count('class="wrong"') == 1


def test_no_images_are_a_page_too() -> None:
    assert "0</span> of 0 detections shown" in detection_page("none", [], [])


@pytest.fixture(scope="module")
def browser(show_page: Callable[[str], Any]) -> Any:
    return show_page(page())


def choose(browser: Any, field: str, value: object) -> None:
    browser.execute_script(
        "const f = document.getElementById(arguments[0]);"
        "if (f.type === 'checkbox') f.checked = arguments[1]; else f.value = arguments[1];"
        "f.dispatchEvent(new Event('input'))",
        field,
        value,
    )


def visible(browser: Any, what: str) -> int:
    count: int = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])]"
        ".filter(one => one.getBoundingClientRect().width > 0).length",
        what,
    )
    return count


@pytest.mark.browser
def test_nothing_hostile_runs_and_no_rule_is_broken(browser: Any) -> None:
    assert browser.execute_script("return window.hurt") is None
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


@pytest.mark.browser
def test_a_box_lies_where_it_is_in_the_picture(browser: Any) -> None:
    image, box = browser.execute_script(
        "const card = document.querySelector('article');"
        "return [card.querySelectorAll('img')[1], card.querySelectorAll('svg')[1]"
        ".querySelector('rect')].map(one => { const b = one.getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height]; })"
    )
    scale = image[2] / 40
    assert box[0] == pytest.approx(image[0] + 4 * scale, abs=1.5)
    assert box[1] == pytest.approx(image[1] + 2 * scale, abs=1.5)
    assert box[2] == pytest.approx(20 * scale, abs=3)


@pytest.mark.browser
def test_class_confidence_masks_and_boxes_are_filters(browser: Any) -> None:
    assert (visible(browser, "rect"), visible(browser, "path")) == (4, 2)
    choose(browser, "class", "red cell")
    assert (visible(browser, "article"), visible(browser, "rect")) == (1, 2)
    choose(browser, "class", HOSTILE)
    assert (visible(browser, "article"), visible(browser, "rect")) == (1, 1)
    choose(browser, "class", "")
    choose(browser, "least", 50)
    assert visible(browser, "rect") == 3  # what is known has no confidence, and stays
    assert browser.execute_script("return document.getElementById('shown').textContent") == "2"
    choose(browser, "least", 0)
    choose(browser, "masks", False)
    assert (visible(browser, "rect"), visible(browser, "path")) == (4, 0)
    choose(browser, "masks", True)
    choose(browser, "boxes", False)
    assert (visible(browser, "rect"), visible(browser, "path")) == (0, 2)
