"""Feature pages, as files and in a real browser."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.runtime import Runtime
from storage.tokens import TokenIndex
from tasks.tokens.pages import write_pages
from tasks.tokens.tokenizers import TextTokenizer

HOSTILE = "<script>document.title = 'run'</script><b>bold</b> & \"quoted\" 美味しい"
TEXTS = [f"the tacos were good and the salsa too number {n}" for n in range(30)] + [HOSTILE] * 10


@pytest.fixture(scope="module")
def index(
    files_of: Callable[..., Any],
    index_of: Callable[..., TokenIndex],
    entries: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> TokenIndex:
    """Return an index whose feature 2 is strongest in texts that look like HTML."""
    counts = TextTokenizer.load("minilm", Path()).counts(TEXTS)
    owner = np.repeat(np.arange(len(TEXTS)), counts)
    features, values = entries(len(owner), 3, 12, seed=8)
    values[(features == 2) & (owner[:, None] >= 30)] = 9
    folder = tmp_path_factory.mktemp("pages")
    files = files_of(folder / "files", features, values, owner, texts=TEXTS)
    return index_of(files, folder / "store", 13)


@pytest.fixture(scope="module")
def pages(index: TokenIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the pages of three features, one of them never active."""
    folder = tmp_path_factory.mktemp("html")
    store = index.store.path
    write_pages(index, folder, Runtime(store=store), (2, 5, 12), tokenizer="minilm")
    return folder


def test_one_page_a_feature_and_one_that_leads_to_them(pages: Path) -> None:
    names = {"index.html", "feature-2.html", "feature-5.html", "feature-12.html"}
    assert {path.name for path in pages.iterdir()} == names
    links = set(re.findall(r'href="([^"]+)"', (pages / "index.html").read_text()))
    assert links == names - {"index.html"}


def test_pages_hold_all_they_show_and_allow_nothing_else(pages: Path) -> None:
    for path in pages.iterdir():
        html = path.read_text()
        assert "default-src 'none'" in html
        assert not re.findall(r"<(?:script|link|iframe|img|object)\b", html)
        assert not re.findall(r'(?:src|href)="(?!feature-|index)', html)
        assert not re.findall(r'style="', html)


def test_without_features_the_ones_most_tied_to_stars_are_shown(
    index: TokenIndex, tmp_path: Path
) -> None:
    runtime = Runtime(store=index.store.path)
    found = write_pages(index, tmp_path, runtime, count=2, tokenizer="minilm")
    assert len(found) == 3


def test_a_feature_that_is_never_active_says_so(pages: Path) -> None:
    html = (pages / "feature-12.html").read_text()
    assert "never active" in html
    assert "Not tested: fewer than 10 reviews have it." in html
    assert "nan" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL).lower()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return chromium, which logs what its pages may not do."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


@pytest.mark.browser
def test_a_browser_shows_texts_as_they_are_and_runs_nothing(browser: Any, pages: Path) -> None:
    browser.get((pages / "feature-2.html").as_uri())
    assert browser.title == "Feature 2"
    lines = browser.find_elements("css selector", ".context")
    assert any("</script><b>bold</b> &" in line.text for line in lines)
    assert any("美味しい" in line.text for line in lines)
    assert not browser.find_elements("css selector", ".context b, .context script")
    assert browser.get_log("browser") == []


@pytest.mark.browser
def test_a_browser_shades_tokens_by_activation(browser: Any, pages: Path) -> None:
    browser.get((pages / "feature-2.html").as_uri())
    strongest = browser.find_element("css selector", ".context .on")
    assert "s10" in strongest.get_attribute("class")
    assert strongest.value_of_css_property("background-color").startswith("rgb")
    weaker = browser.find_elements("css selector", ".s1, .s2, .s3")
    colours = {one.value_of_css_property("background-color") for one in weaker}
    assert strongest.value_of_css_property("background-color") not in colours


@pytest.mark.browser
def test_a_browser_breaks_no_number_however_narrow_its_window(browser: Any, pages: Path) -> None:
    browser.get((pages / "index.html").as_uri())
    browser.set_window_size(300, 600)
    lines = "return [...document.querySelectorAll('.number')].map(n => n.getClientRects().length)"
    assert set(browser.execute_script(lines)) == {1}
    told = [one.text for one in browser.find_elements("css selector", "td .number")]
    assert any("e-" in one for one in told)
    browser.set_window_size(1200, 900)


@pytest.mark.browser
def test_a_browser_follows_the_links_there_and_back(browser: Any, pages: Path) -> None:
    browser.get((pages / "index.html").as_uri())
    browser.find_element("link text", "5").click()
    assert browser.title == "Feature 5"
    assert browser.find_element("css selector", "svg rect").size["height"] > 0
    browser.find_element("link text", "All features").click()
    assert browser.title == "Features of an index"
    assert browser.get_log("browser") == []
