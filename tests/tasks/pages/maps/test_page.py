"""The text of a map's page: what it says, what it holds, and what it refuses."""

import json
import re
from base64 import b64decode
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tasks.pages.maps.page as page_module
from conf.errors import RecipeError
from tasks.compute.projection.trust import Estimate, Stability, TrustSummary
from tasks.pages.maps import Categories, MapView, Numbers, render_map
from tasks.pages.maps.panels import verdict


@pytest.fixture(scope="module")
def html(hostile_view: MapView) -> str:
    return render_map(hostile_view)


def block(html: str, name: str) -> str:
    found = re.search(rf'<script id="{name}"[^>]*>(.*?)</script>', html)
    assert found is not None
    return found[1]


def content(html: str) -> Any:
    return json.loads(block(html, "map-data"))


def array(html: str, name: str, dtype: str) -> Any:
    return np.frombuffer(b64decode(block(html, name)), dtype)


def plain(count: int, **fields: Any) -> MapView:
    coords = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    return MapView("a map", "PCA", coords, tuple(map(str, range(count))), **fields)


def summary(near: float, torn: float, disparity: float | None = None) -> TrustSummary:
    stability = None if disparity is None else Stability(3, disparity, 0.1, 0.5)
    near_by, torn_apart, kept = (Estimate(value, 0.002, 1000) for value in (near, torn, 0.4))
    return TrustSummary(5000, 10, near_by, torn_apart, kept, stability)


def without_scripts(html: str) -> str:
    return re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def test_nothing_from_data_is_html(html: str) -> None:
    assert "<img" not in without_scripts(html)
    assert "<script>window" not in html
    assert "</script" not in block(html, "map-data")
    assert content(html)["ids"][0].startswith("</script>"), "the true name is kept"


def test_the_policy_names_two_scripts_by_hash_and_lets_nothing_load(html: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert len(re.findall(r"'sha256-[^']{44}'", rules["script-src"])) == 2
    assert "unsafe-inline" not in policy[1]


def test_the_page_loads_no_other_file(html: str) -> None:
    assert not re.search(r'(?:src|href)="(?!data:)', html.split("<script>")[0])


def test_arrays_are_kept_bit_by_bit(html: str, hostile_view: MapView) -> None:
    coords = array(html, "coords", "<f4").reshape(-1, 2)
    np.testing.assert_array_equal(coords, hostile_view.coords)
    np.testing.assert_array_equal(
        array(html, "neighbours", "<i4").reshape(60, 5), hostile_view.neighbours
    )
    assert content(html)["columns"][0]["name"] == "label", "the label comes first"
    np.testing.assert_array_equal(
        array(html, "column-0", "<i4"),
        hostile_view.columns["label"].codes,  # type: ignore[union-attr]
    )


def test_trust_is_told_with_its_standard_errors() -> None:
    html = render_map(plain(5, trust=summary(0.979, 0.91, 0.2)))
    for told in ("0.9790 <small>± 0.0020", "1,000 of 5,000 points checked", "chance 0.002"):
        assert told in html


@pytest.mark.parametrize(
    ("trust", "says"),
    [
        (None, "Nobody has measured"),
        (summary(0.97, 0.97), "almost always near in the features; true neighbours are seldom"),
        (summary(0.9, 0.9), "mostly near in the features; some true neighbours are torn apart"),
        (summary(0.6, 0.5), "often far apart in the features: believe no detail; many true"),
        (
            summary(0.9, 0.9, 0.05),
            "Other seeds give nearly the same map: the median point moves by 10.0% of",
        ),
        (summary(0.9, 0.9, 0.3), "Other seeds move parts of the map: the median"),
        (summary(0.9, 0.9, 0.8), "Other seeds give another map, whose arrangement is chance"),
    ],
)
def test_the_verdict_says_in_words_what_the_numbers_say(
    trust: TrustSummary | None, says: str
) -> None:
    assert says in verdict(trust)


def test_a_map_that_nothing_ties_to_its_names_bears_a_banner() -> None:
    assert "Order unproven" not in render_map(plain(3))
    assert 'role="alert">Order unproven' in render_map(plain(3, order_proven=False))


def test_points_without_a_place_are_counted_and_named(html: str) -> None:
    assert "1 point has no place on this map: photo 59.jpg" in html


def test_the_least_trustworthy_points_come_lowest_first() -> None:
    trust = np.array([1, 0.2, np.nan, 0.1], np.float32)
    table = render_map(plain(4, point_trust=trust)).split("Least trustworthy")[1]
    assert re.findall(r'data-go="(\d)"', table)[:2] == ["3", "1"]
    assert "The 2 lowest of 3 points checked" in table


def test_a_map_that_misplaces_nothing_says_so() -> None:
    html = render_map(plain(3, point_trust=np.ones(3, np.float32)))
    assert "Every point checked is where it belongs." in html


def test_the_colour_ramp_spans_all_but_the_outermost_hundredth() -> None:
    values = np.append(np.linspace(0, 1, 999), 1e6).astype(np.float32)
    column = content(render_map(plain(1000, columns={"score": Numbers(values)})))["columns"][0]
    assert column["low"] == pytest.approx(0.01, abs=1e-3)
    assert column["high"] == pytest.approx(0.99, abs=1e-3)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_points_and_equal_points_make_a_page(count: int) -> None:
    html = render_map(replace(plain(count), coords=np.ones((count, 2), np.float32)))
    assert content(html)["extent"] == 1.0


def test_one_point_is_one_point() -> None:
    assert " · 1 point<" in render_map(plain(1))


def test_a_column_without_any_number_makes_a_page() -> None:
    html = render_map(plain(3, columns={"score": Numbers(np.full(3, np.nan, np.float32))}))
    assert content(html)["columns"][0]["missing"] == 3


def test_more_classes_than_colours_share_some() -> None:
    names = tuple(f"class {at}" for at in range(50))
    column = Categories(names, np.arange(50, dtype=np.int32))
    colours = content(render_map(plain(50, columns={"label": column})))["columns"][0]["colours"]
    assert None not in colours
    assert len(set(colours)) == 40


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"point_trust": np.ones(2, np.float32)}, r"point_trust of the map 'a map' has shape \(2,"),
        ({"columns": {"label": Categories(("a",), np.ones(3, np.int32))}}, "its 1 names allow"),
        (
            {"neighbours": np.zeros((3, 2), np.int32), "distances": np.zeros((3, 1), np.float32)},
            "3 points need 3 x 2",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(fields: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plain(3, **fields)


def test_a_missing_plotly_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page_module, "find_spec", lambda _: None)
    page_module.plotly_script.cache_clear()
    with pytest.raises(RecipeError, match=r"pip install 'featuremill\[maps\]'"):
        render_map(plain(3))
