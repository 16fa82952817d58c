"""The label canvas in a real browser: every tool, with mouse, touch and keyboard, and the picture that follows."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Keys

from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from tests.browser.visitor import (
    HAIR,
    TOP,
    canvas_map,
    canvas_pixels,
    changed_by,
    choose_class,
    choose_tool,
    click,
    decoded,
    open_page,
    paint,
    pixels,
    set_brush,
    status,
    wait_for,
)

pytestmark = pytest.mark.browser

SHOES = FIGURE_LABELS.id_of("shoes")


def test_a_stroke_paints_palette_pixels_and_the_picture_follows(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before = canvas_map(browser)
    height, width = before.shape
    choose_class(browser, HAIR)
    drawn, followed = changed_by(browser, lambda: paint(browser, (0.1, 0.2), (0.3, 0.2)))
    after = canvas_map(browser)
    painted = after != before
    assert set(np.unique(after[painted])) == {HAIR}
    rows, columns = np.nonzero(painted)
    assert abs(rows.mean() / height - 0.2) < 0.02
    assert columns.min() / width < 0.1 < 0.3 < columns.max() / width
    assert painted[round(0.2 * height), round(0.1 * width) : round(0.3 * width)].all()  # without gaps
    # New hair where the background was; far away from the stroke next to nothing changes.
    change = np.abs(followed - drawn).mean(axis=2)
    assert change[painted].mean() > 10
    assert change[painted].mean() > 4 * change[height // 2 :].mean()
    wait_for(lambda: status(browser) == "The picture follows the map.", "the sentence")

    choose_tool(browser, "undo")
    wait_for(lambda: np.array_equal(canvas_map(browser), before), "the map as it was")
    wait_for(lambda: np.array_equal(pixels(browser), drawn), "the picture as it was")
    choose_tool(browser, "redo")
    wait_for(lambda: np.array_equal(pixels(browser), followed), "the painted picture")


def test_undo_of_the_picture_brings_its_map_back(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before = canvas_map(browser)
    choose_class(browser, SHOES)
    changed_by(browser, lambda: paint(browser, (0.8, 0.1)))
    wait_for(lambda: status(browser) == "New on the map: shoes.", "the sentence")
    assert not browser.find_element(
        "css selector", f"[data-class='{SHOES}'] [data-tool=redraw]"
    ).get_attribute("disabled")
    changed_by(browser, lambda: click(browser, "#undo"))
    wait_for(lambda: np.array_equal(canvas_map(browser), before), "the map as it was")
    assert browser.find_element("css selector", f"[data-class='{SHOES}'] [data-tool=redraw]").get_attribute(
        "disabled"
    )


def test_fill_and_eraser(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before = canvas_map(browser)
    choose_tool(browser, "fill")
    choose_class(browser, SHOES)
    changed_by(browser, lambda: paint(browser, (0.5, 0.6)))
    filled = canvas_map(browser)
    assert np.array_equal(filled == SHOES, before == TOP)
    choose_tool(browser, "eraser")
    changed_by(browser, lambda: paint(browser, (0.45, 0.6), (0.55, 0.6)))
    erased = canvas_map(browser)
    gone = erased != filled
    assert 20 < gone.sum() < (filled == SHOES).sum()
    assert set(np.unique(erased[gone])) == {0}


def test_brushes_are_from_one_pixel_to_a_quarter_of_the_width(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    choose_class(browser, HAIR)
    across = "return document.querySelector('#painter .ring').getBoundingClientRect().width"
    width = browser.find_element("css selector", "#painter canvas").size["width"]
    areas = []
    for pixels_wide, x in ((1, 0.06), (7, 0.15), (32, 0.85)):
        before = canvas_map(browser)
        set_brush(browser, pixels_wide)
        assert browser.find_element("css selector", "#painter .across").text == f"{pixels_wide} px"
        paint(browser, (x, 0.2))
        areas.append(int((canvas_map(browser) != before).sum()))
        # The circle at the pointer shows it.
        assert browser.execute_script(across) == pytest.approx(pixels_wide / before.shape[1] * width, abs=1)
    assert areas == pytest.approx([1, 7**2 * np.pi / 4, 32**2 * np.pi / 4], rel=0.1)
    slider = browser.find_element("css selector", "#painter .tools input[type=range]")
    assert (slider.get_attribute("min"), slider.get_attribute("max")) == ("1", "32")


def test_keyboard(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before = canvas_map(browser)
    height, width = before.shape
    canvas = browser.find_element("css selector", "#painter canvas")
    browser.execute_script("arguments[0].focus()", canvas)
    press = ActionChains(browser)
    press.send_keys("b", *"[" * 12, "]", "[", str(SHOES + 1))
    press.key_down(Keys.SHIFT).send_keys(Keys.ARROW_UP).key_up(Keys.SHIFT).send_keys(
        Keys.ARROW_LEFT, " "
    ).perform()
    after = canvas_map(browser)
    (row,), (column,) = np.nonzero(after != before)
    assert after[row, column] == SHOES
    assert (row, column) == (height // 2 - max(1, round(width / 16)), width // 2 - 1)
    wait_for(
        lambda: f"shoes · column {column}, row {row}" in status(browser, "#painter .painting"), "the sentence"
    )
    ActionChains(browser).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
    wait_for(lambda: np.array_equal(canvas_map(browser), before), "the map as it was")


def test_the_class_under_the_pointer_is_named(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    canvas = browser.find_element("css selector", "#painter canvas")
    label = canvas_map(browser)
    for x, y in ((0.5, 0.6), (0.05, 0.05)):
        offset = round((x - 0.5) * canvas.size["width"]), round((y - 0.5) * canvas.size["height"])
        ActionChains(browser).move_to_element_with_offset(canvas, *offset).perform()
        name = FIGURE_LABELS.names[label[round(y * label.shape[0]), round(x * label.shape[1])]]
        wait_for(
            lambda name=name: status(browser, "#painter .painting").startswith(name + " ·"), "the sentence"
        )


def test_zoom_paints_finer_and_keeps_the_middle(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before = canvas_map(browser)
    for _ in range(2):
        choose_tool(browser, "in")
    viewport = browser.find_element("css selector", "#painter .viewport")
    canvas = browser.find_element("css selector", "#painter canvas")
    assert canvas.size["width"] == pytest.approx(4 * viewport.size["width"], rel=0.05)
    choose_class(browser, SHOES)
    set_brush(browser, 1)
    box = viewport.rect
    ActionChains(browser).move_to_element(viewport).click().perform()
    after = canvas_map(browser)
    (row,), (column,) = np.nonzero(after != before)
    assert abs(row - before.shape[0] / 2) <= 2
    assert abs(column - before.shape[1] / 2) <= 2
    assert box["height"] == viewport.rect["height"]


def test_touch_paints_and_two_fingers_do_not(browser: Any, page_address: str) -> None:
    open_page(browser, page_address, width=390, height=844)
    before = canvas_map(browser)
    canvas = browser.find_element("css selector", "#painter canvas")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    box = browser.execute_script("return arguments[0].getBoundingClientRect().toJSON()", canvas)

    def at(x: float, y: float, finger: int) -> dict[str, float]:
        return {"x": box["left"] + x * box["width"], "y": box["top"] + y * box["height"], "id": finger}

    def touch(kind: str, *fingers: dict[str, float]) -> None:
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(fingers)})

    browser.execute_script(f"document.querySelector('#painter [data-class=\"{HAIR}\"] .class-name').click()")
    touch("touchStart", at(0.4, 0.1, 0), at(0.6, 0.1, 1))
    touch("touchMove", at(0.3, 0.1, 0), at(0.7, 0.1, 1))
    touch("touchEnd")
    time.sleep(0.2)
    assert np.array_equal(canvas_map(browser), before)
    zoomed = browser.execute_script("return document.querySelector('#painter .sheet').style.width")
    assert float(zoomed.rstrip("%")) > 130

    touch("touchStart", at(0.1, 0.1, 0))
    touch("touchMove", at(0.2, 0.1, 0))
    touch("touchEnd")
    painted = wait_for(lambda: (m := canvas_map(browser) != before).any() and m, "a stroke")
    assert set(np.unique(canvas_map(browser)[painted])) == {HAIR}


def test_the_map_is_downloaded_exactly(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    browser.execute_script(
        "const link = document.querySelector('#painter [data-tool=save]');"
        "link.addEventListener('click', (event) => event.preventDefault(), {once: true}); link.click()"
    )
    link = browser.find_element("css selector", "#painter [data-tool=save]")
    assert link.get_attribute("download") == "label-map.png"
    assert np.array_equal(decoded(link.get_attribute("href")), canvas_pixels(browser))
