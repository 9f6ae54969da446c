"""The page of a batch, in text and in a real browser."""

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tasks.pages.photos import photo_page, photo_table

HOSTILE = "<script>window.hurt=1</script>\"'><img src=x onerror=window.hurt=1>%{x}\n\u202egpj.exe"


def jpeg(grey: int) -> bytes:
    out = BytesIO()
    Image.new("RGB", (32, 24), (grey, grey, grey)).save(out, "JPEG")
    return out.getvalue()


def photo(number: int, name: str, label: str, sharp: float, dark: float) -> dict[str, Any]:
    scores = {"sharpness": 0.9, "exposure": 0.5, "noise": None, "clip_iqa": 0.1, "brisque": 0.3}
    return {
        "photo_id": f"{number:064x}",
        "original_uri": f"./{name}",
        "exif": {"camera": HOSTILE, "iso": 64, "gps": {"latitude": 51.4779, "longitude": -0.0015}},
        "owner": "A. Person",
        "features": {
            "tech": scores,
            "clip_labels": [{"label": label, "confidence": 0.9, "cosine_score": 0.3}],
            "tech_raw": {
                "sharpness": {"log10_tile_p95": sharp},
                "exposure": {"red": {"p50": dark}, "green": {"p50": dark}, "blue": {"p50": dark}},
            },
            "missing": {"noise": HOSTILE},
        },
    }


def batch() -> dict[str, Any]:
    hostile = f"{HOSTILE}{'A' * 4000}.jpg".replace("/", "_")
    photos = [
        photo(1, "soft.jpg", "sea", 1.0, 0.9),
        photo(2, "sharp.jpg", "city", 4.0, 0.5),
        photo(3, hostile, HOSTILE, 2.0, 0.1),
    ]
    photos[1]["duplicates"] = ["./copy.jpg", f"./{hostile}"]
    failure = {"original_uri": hostile, "stage": "ingest", "reason": HOSTILE}
    return {"batch_id": "batch_1", "artifacts": photos, "failed": [failure]}


def page(*, show_private: bool = False) -> str:
    content = batch()
    contents = {photo["photo_id"]: photo["photo_id"] for photo in content["artifacts"]}
    thumbnails = {photo_id: jpeg(80 * at) for at, photo_id in enumerate(contents)}
    return photo_page(content, contents, thumbnails, show_private=show_private)


def test_a_page_tells_neither_place_nor_owner_unless_it_is_asked_to() -> None:
    assert "51.4779" not in page()
    assert "A. Person" not in page()
    assert "51.4779" in page(show_private=True)
    assert "A. Person" in page(show_private=True)


def test_a_place_that_another_pipeline_wrote_as_text_is_told_as_it_is() -> None:
    content = batch()
    content["artifacts"][0]["exif"]["gps"] = "51 N <b>"
    assert "51 N &lt;b&gt;" in photo_page(content, {}, {}, show_private=True)


def test_nothing_from_data_is_html() -> None:
    assert page().count("<script>") == 1
    assert "<img src=x" not in page()


def test_a_page_names_no_other_file_and_no_address() -> None:
    assert "http://" not in page()
    assert "https://" not in page()
    assert "default-src 'none'" in page()


def test_what_is_missing_for_one_reason_is_told_once_and_failures_are_told_at_the_top() -> None:
    content = batch()
    flat = "flat: no contrast"
    content["artifacts"][0]["features"]["missing"] = {"noise": flat, "brisque": flat}
    told = photo_page(content, {}, {})
    assert told.count(flat) == 1
    assert "<bdi>noise, brisque</bdi>: " in told
    assert '<a href="#failed">1 failed</a>' in told
    assert '<h2 id="failed">1 photo failed</h2>' in told


def test_the_terminals_table_has_the_best_label_and_the_five_scores() -> None:
    header, rows = photo_table(batch()["artifacts"])
    assert header[1:] == ("best label", "sharpness", "exposure", "noise", "clip_iqa", "brisque")
    assert rows[0] == ("soft.jpg", "sea 90%", "0.90", "0.50", "", "0.10", "0.30")
    assert max(len(row[0]) for row in rows) == 48, "a long name does not widen every line"


@pytest.fixture(scope="module")
def browser(show_page: Callable[[str], Any]) -> Any:
    return show_page(page())


def shown(browser: Any) -> list[str]:
    """Return the names of the photos that are to be seen, in their order."""
    told = browser.execute_script(
        "return JSON.stringify([...document.querySelectorAll('article:not([hidden])')]"
        ".map(a => a.querySelector('figcaption').textContent))"
    )
    return [name[:5] for name in json.loads(told)]


def choose(browser: Any, field: str, value: Any) -> None:
    browser.execute_script(
        "const f = document.getElementById(arguments[0]);"
        "if (f.type === 'checkbox') f.checked = arguments[1]; else f.value = arguments[1];"
        "f.dispatchEvent(new Event(f.type === 'search' ? 'input' : 'change'));",
        field,
        value,
    )


@pytest.mark.browser
def test_nothing_hostile_runs_in_the_browser(browser: Any) -> None:
    assert browser.execute_script("return window.hurt") is None
    assert browser.execute_script("return document.querySelectorAll('script').length") == 1
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


@pytest.mark.browser
def test_photos_are_sorted_by_raw_sharpness_and_by_darkness(browser: Any) -> None:
    choose(browser, "sort", "sharp -1")
    assert shown(browser) == ["sharp", "<scri", "soft."]
    choose(browser, "sort", "dark 1")
    assert shown(browser) == ["<scri", "sharp", "soft."]
    choose(browser, "sort", "order 1")
    assert shown(browser) == ["soft.", "sharp", "<scri"]


@pytest.mark.browser
def test_photos_are_filtered_by_label_word_and_duplicates(browser: Any) -> None:
    choose(browser, "label", "sea")
    assert shown(browser) == ["soft."]
    hostile = browser.execute_script("return document.querySelectorAll('#label option')[1].value")
    choose(browser, "label", hostile)
    assert shown(browser) == ["<scri"]
    choose(browser, "label", "")
    choose(browser, "word", "sharp.jpg")
    assert shown(browser) == ["sharp"]
    choose(browser, "word", "")
    choose(browser, "twins", True)
    assert shown(browser) == ["sharp"]
    choose(browser, "twins", False)
    assert len(shown(browser)) == 3


@pytest.mark.browser
def test_duplicates_stand_side_by_side_and_scores_are_bars(browser: Any) -> None:
    tops = browser.execute_script(
        "return [...document.querySelectorAll('article[data-twins] figure')]"
        ".map(f => f.getBoundingClientRect().top)"
    )
    assert len(tops) == 3
    assert len(set(tops)) == 1
    card = "document.querySelector('article')"
    assert browser.execute_script(f"return {card}.querySelectorAll('meter').length") == 4
    assert browser.execute_script(
        "return [...document.images].every(i => !i.complete || i.naturalWidth > 0)"
    )
    width = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert browser.execute_script(width), "nothing reaches beyond the window"
