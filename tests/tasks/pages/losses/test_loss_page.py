"""The page of a loss matrix, in text and in a real browser."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.pages.losses import MOST_SHOWN, LossView, MedoidView, loss_page

HOSTILE = "</script><script>window.hurt=1</script><img src=x onerror=window.hurt=1>\u202egpj.exe"


def jpeg() -> bytes:
    out = BytesIO()
    Image.new("RGB", (64, 48), (200, 120, 120)).save(out, "JPEG")
    return out.getvalue()


def view(count: int = 4) -> LossView:
    random = np.random.default_rng(0)
    box, cls = (random.uniform(0, 9, (count, count)).astype(np.float32) for _ in range(2))
    names = [HOSTILE, *(f"scene{number}.png" for number in range(1, count))]
    rich = [f"rich in {HOSTILE}: 2.0 times as many"]
    medoid = MedoidView(0, 3, HOSTILE, jpeg(), {HOSTILE: 2, "platelet": 1}, rich)
    return LossView(
        title=f"Loss matrix of {count} images",
        facts=["Asymmetry 0.2", HOSTILE],
        names=names,
        groups=np.array([0, 1] * (count // 2)),
        classes=[None, "platelet", HOSTILE, "platelet"][:count] + [None] * (count - 4),
        order=np.arange(count)[::-1],
        directed=box + cls,
        measure="regret",
        losses={"box": box, "cls": cls},
        medoids=[medoid],
        tables=[("Hubs", ("image", "neighbour of"), [[HOSTILE, 3]])],
    )


def test_nothing_from_data_is_html_and_nothing_is_loaded() -> None:
    page = loss_page(view())
    assert "<img src=x" not in page
    assert "window.hurt=1</script>" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'" in page


def test_a_large_matrix_is_thinned_and_says_so() -> None:
    page = loss_page(view(MOST_SHOWN + 40))
    assert f"The heatmap shows {MOST_SHOWN} of {MOST_SHOWN + 40} images" in page


@pytest.fixture(scope="module")
def browser(show_page: Callable[[str], Any]) -> Any:
    return show_page(loss_page(view()))


def told(browser: Any) -> list[str]:
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('#told dd')].map(d => d.textContent)"
    )
    return found


def point(browser: Any, row: int, column: int) -> None:
    browser.execute_script(
        "const c = document.getElementById('heatmap'), b = c.getBoundingClientRect();"
        "const at = (n, start, size) => start + (n + 0.5) * size / 4;"
        "c.dispatchEvent(new PointerEvent('pointermove', {bubbles: true,"
        "clientX: at(arguments[1], b.left, b.width), clientY: at(arguments[0], b.top, b.height)}))",
        row,
        column,
    )


@pytest.mark.browser
def test_nothing_hostile_runs_and_no_rule_is_broken(browser: Any) -> None:
    assert browser.execute_script("return window.hurt") is None
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


@pytest.mark.browser
def test_a_cell_under_the_pointer_tells_both_images_and_every_loss(browser: Any) -> None:
    shown = view()
    point(browser, 0, 2)  # the order is turned round: row 3, column 1
    names = told(browser)
    assert names[:2] == ["scene3.png (group 1, platelet)", "scene1.png (group 1, platelet)"]
    values = [float(value) for value in names[2:]]
    wanted = [shown.directed[3, 1], shown.directed[1, 3]]
    wanted += [losses[3, 1] for losses in shown.losses.values()]
    assert values == pytest.approx(wanted, rel=1e-3)


@pytest.mark.browser
def test_the_cell_that_is_read_is_marked_and_the_scale_says_what_light_is(browser: Any) -> None:
    point(browser, 3, 1)
    found, scale, terms = browser.execute_script(
        "const m = document.getElementById('mark').getBoundingClientRect();"
        "const c = document.getElementById('heatmap').getBoundingClientRect();"
        "return [[(m.top - c.top) / m.height, (m.left - c.left) / m.width],"
        "document.getElementById('scale').textContent,"
        "[...document.querySelectorAll('#told dt')].map(d => d.textContent)]"
    )
    assert found == pytest.approx([3, 1], abs=0.05)
    assert scale == f"regret 0{view().directed.max():.4g} or more"
    assert terms[2] == "regret"


@pytest.mark.browser
def test_arrow_keys_move_the_cell(browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    point(browser, 1, 1)
    browser.find_element(By.ID, "heatmap").send_keys(Keys.ARROW_DOWN)
    assert told(browser)[:2] == [
        "scene1.png (group 1, platelet)",
        f"scene2.png (group 0, {HOSTILE})",
    ]


@pytest.mark.browser
def test_cells_have_colours_by_their_values(browser: Any) -> None:
    shown = view().directed[::-1, ::-1]
    pixels = browser.execute_script(
        "return [...document.getElementById('heatmap').getContext('2d')"
        ".getImageData(0, 0, 4, 4).data]"
    )
    light = np.array(pixels, float).reshape(16, 4)[:, :3].sum(axis=1)
    assert np.argmax(light) == np.argmax(shown)
    assert np.argmin(light) == np.argmin(shown)


@pytest.mark.browser
def test_groups_are_outlined_along_the_diagonal_alone(browser: Any) -> None:
    """Groups 1, 0, 1, 0 in the order that is shown: four squares of one image each."""
    inked = browser.execute_script(
        "const c = document.getElementById('outlines'), side = c.width / 4, found = [];"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "for (let row = 0; row < 4; row++) for (let column = 0; column < 4; column++) {"
        "  const x = column * side + side / 2, y = row * side + 4;"
        "  found.push(d[4 * (y * c.width + x) + 3] > 0); } return found"
    )
    np.testing.assert_array_equal(np.reshape(inked, (4, 4)), np.eye(4, dtype=bool))


@pytest.mark.browser
def test_images_of_a_known_class_have_its_colour_and_a_key(browser: Any) -> None:
    strip, keys = browser.execute_script(
        "return [[...document.getElementById('classes').getContext('2d')"
        ".getImageData(0, 0, 4, 1).data], [...document.querySelectorAll('#keys > span')]"
        ".map(k => [k.textContent, getComputedStyle(k.firstChild).backgroundColor])]"
    )
    pixels = np.reshape(strip, (4, 4))  # turned round: platelet, hostile, platelet, not known
    assert dict(keys).keys() == {"platelet", HOSTILE}
    told = "rgb({}, {}, {})".format
    assert told(*pixels[0, :3]) == told(*pixels[2, :3]) == dict(keys)["platelet"]
    assert told(*pixels[1, :3]) == dict(keys)[HOSTILE]
    assert pixels[3, 3] == 0


@pytest.mark.browser
def test_medoids_are_pictures_with_names(browser: Any) -> None:
    width, alt = browser.execute_script(
        "const i = document.querySelector('.medoid img'); return [i.naturalWidth, i.alt]"
    )
    assert width == 64
    assert alt.endswith("with its detections")
