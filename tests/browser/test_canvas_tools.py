"""More tools of the label canvas: shapes, eyedropper, mirror, full screen; maps drawn in the same appearance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.core.opening_looks import OPENING_SEEDS
from selenium.webdriver import ActionChains, Keys

from groupdnet_hub import GroupDNetPipeline
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from tests.browser.visitor import (
    HAIR,
    TOP,
    canvas_map,
    changed_by,
    choose_class,
    choose_tool,
    click,
    open_page,
    paint,
    pixels,
    set_brush,
    status,
    wait_for,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHOES, SOCKS = FIGURE_LABELS.id_of("shoes"), FIGURE_LABELS.id_of("socks")


@pytest.fixture(scope="module")
def pipe(model_folder: Path) -> GroupDNetPipeline:
    return GroupDNetPipeline.from_pretrained(model_folder)


def chosen(browser: Any) -> int:
    """Return the class that is painted with."""
    script = (
        "return +document.querySelector('#painter [aria-checked=true]').closest('[data-class]').dataset.class"
    )
    return browser.execute_script(script)


def tool_in_hand(browser: Any) -> str:
    script = "return document.querySelector('#painter .tools [aria-pressed=true]').dataset.tool"
    return browser.execute_script(script)


def hold(browser: Any, *points: tuple[float, float]) -> None:
    """Drag through points of the canvas, and keep the button pressed."""
    canvas = browser.find_element("css selector", "#painter canvas")
    wide, high = canvas.size["width"], canvas.size["height"]
    chain = ActionChains(browser, duration=20)
    for index, (x, y) in enumerate(points):
        chain = chain.move_to_element_with_offset(canvas, round((x - 0.5) * wide), round((y - 0.5) * high))
        chain = chain if index else chain.click_and_hold()
    chain.perform()


def press_keys(browser: Any, *keys: str) -> None:
    """Press keys on the canvas."""
    browser.execute_script("document.querySelector('#painter canvas').focus()")
    ActionChains(browser).send_keys(*keys).perform()


def test_rectangle(browser: Any, page_address: str) -> None:
    """Seen while it is dragged, and painted as a filled area when it is let go; by keyboard, corner and corner."""
    open_page(browser, page_address)
    before = canvas_map(browser)
    height, width = before.shape
    choose_class(browser, SHOES)
    choose_tool(browser, "rectangle")
    drawn = pixels(browser)
    hold(browser, (0.1, 0.1), (0.5, 0.6), (0.3, 0.2))
    (top, bottom), (left, right) = ([n // 10, round(n * p)] for n, p in ((height, 0.2), (width, 0.3)))
    expected = before.copy()
    expected[top : bottom + 1, left : right + 1] = SHOES
    seen = canvas_map(browser)
    assert (seen != expected).sum() <= height  # a line of pixels may lie on either side of the pointer
    assert (seen[top + 1 : bottom, left + 1 : right] == SHOES).all()
    assert np.array_equal(pixels(browser), drawn), "nothing is drawn before it is let go"
    changed_by(browser, lambda: ActionChains(browser).release().perform())
    assert np.array_equal(canvas_map(browser), seen)

    before = canvas_map(browser)
    press_keys(browser, str(SOCKS + 1), "r", " ", *[Keys.ARROW_RIGHT] * 4, *[Keys.ARROW_DOWN] * 2)
    cursor = height // 2, width // 2
    expected = before.copy()
    expected[cursor[0] : cursor[0] + 3, cursor[1] : cursor[1] + 5] = SOCKS
    assert np.array_equal(canvas_map(browser), expected)
    press_keys(browser, Keys.ESCAPE)
    assert np.array_equal(canvas_map(browser), before), "Escape takes back what is begun"
    changed_by(browser, lambda: press_keys(browser, " ", Keys.ARROW_LEFT, " "))
    rows, columns = np.nonzero(canvas_map(browser) != before)
    assert (set(rows), set(columns)) == ({cursor[0] + 2}, {cursor[1] + 3, cursor[1] + 4})


def test_lasso(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before = canvas_map(browser)
    height, width = before.shape
    choose_class(browser, SHOES)
    choose_tool(browser, "lasso")
    # A triangle, whose third side closes by itself.
    changed_by(browser, lambda: paint(browser, (0.2, 0.2), (0.8, 0.2), (0.2, 0.8)))
    inside = canvas_map(browser) == SHOES
    rows, columns = np.indices(before.shape)
    depth = np.minimum(rows / height - 0.2, columns / width - 0.2)
    below = 1.0 - rows / height - columns / width
    assert inside[(depth > 0.02) & (below > 0.02)].all()
    assert not inside[(depth < -0.02) | (below < -0.03)].any()

    before = canvas_map(browser)
    far = [Keys.ARROW_DOWN] * 6
    changed_by(
        browser,
        lambda: press_keys(browser, str(SOCKS + 1), "l", " ", *far, " ", *[Keys.ARROW_RIGHT] * 6, Keys.ENTER),
    )
    painted = canvas_map(browser) != before
    assert painted.sum() == pytest.approx(7 * 8 / 2, abs=2)
    assert (canvas_map(browser)[painted] == SOCKS).all()


def test_eyedropper_on_the_map_and_on_the_picture(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before = canvas_map(browser)
    choose_class(browser, SHOES)
    choose_tool(browser, "dropper")
    paint(browser, (0.5, 0.6))
    assert (chosen(browser), tool_in_hand(browser)) == (TOP, "brush")

    def click_picture(x: float, y: float, *, alt: bool = False) -> None:
        image = browser.find_element("css selector", "#picture img")
        offset = round((x - 0.5) * image.size["width"]), round((y - 0.5) * image.size["height"])
        chain = ActionChains(browser).move_to_element_with_offset(image, *offset)
        chain = chain.key_down(Keys.ALT).click().key_up(Keys.ALT) if alt else chain.click()
        chain.perform()

    height, width = before.shape
    row, column = (int(n) for n in np.argwhere(before == HAIR)[(before == HAIR).sum() // 2])
    hair = (column + 0.5) / width, (row + 0.5) / height
    tip = "#picture .class-tip"
    click_picture(*hair)
    wait_for(lambda: browser.find_element("css selector", tip).text == "hair", "what is there")
    assert chosen(browser) == TOP, "a plain click tells, and takes nothing"
    wait_for(lambda: status(browser, "#painter .foot").startswith("hair ·"), "what is under the pointer")
    click_picture(*hair, alt=True)
    assert chosen(browser) == HAIR
    press_keys(browser, "f", "i")
    click_picture(0.02, 0.02)
    assert (chosen(browser), tool_in_hand(browser)) == (before[0, 0], "fill")
    assert np.array_equal(canvas_map(browser), before)


def test_mirror_and_flip(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before = canvas_map(browser)
    width = before.shape[1]
    choose_class(browser, SHOES)
    set_brush(browser, 5)
    choose_tool(browser, "mirror")
    changed_by(browser, lambda: paint(browser, (0.1, 0.2), (0.3, 0.25)))
    painted = canvas_map(browser) != before
    assert painted.any()
    assert np.array_equal(painted, painted[:, ::-1])
    # The line can be moved.
    before = canvas_map(browser)
    line = browser.find_element("css selector", "#painter .axis")
    line.send_keys(Keys.SHIFT, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    axis = float(line.get_attribute("aria-valuenow"))
    assert axis == width / 2 - 10
    changed_by(browser, lambda: paint(browser, (0.1, 0.7)))
    columns = np.nonzero(canvas_map(browser) != before)[1]
    assert columns.min() + columns.max() + 1 == 2 * axis

    before = canvas_map(browser)
    changed_by(browser, lambda: click(browser, "#painter [data-tool=flip]"))
    assert np.array_equal(canvas_map(browser), before[:, ::-1])
    changed_by(browser, lambda: click(browser, "#painter [data-tool=undo]"))
    wait_for(lambda: np.array_equal(canvas_map(browser), before), "the map as it was")


@pytest.mark.parametrize("is_known", [True, False], ids=["full screen", "no full screen"])
def test_full_screen(browser: Any, page_address: str, is_known: bool) -> None:
    """The map, its classes and the picture over all else; where browsers have none, the window is filled."""
    open_page(browser, page_address)
    if not is_known:
        browser.execute_script("Element.prototype.requestFullscreen = undefined")
    before = canvas_map(browser)
    small = browser.find_element("css selector", "#painter canvas").size["width"]
    choose_tool(browser, "full")
    wait_for(
        lambda: browser.execute_script("return document.fullscreenElement !== null") == is_known,
        "full screen",
    )
    seen = """
        const boxes = ["#painter .viewport", "#painter .palette", "#picture img", "#status"].map((selector) => {
          const box = document.querySelector(selector).getBoundingClientRect();
          const top = document.elementFromPoint(box.left + box.width / 2, box.top + Math.min(box.height, 40) / 2);
          return Boolean(top?.closest("#stage")) && box.left >= 0 && box.right <= innerWidth;
        });
        return boxes.every(Boolean) && !document.elementFromPoint(5, innerHeight - 5).closest("footer, nav");
    """
    wait_for(lambda: browser.execute_script(seen), "map, classes and picture")
    assert browser.find_element("css selector", "#painter canvas").size["width"] >= small
    choose_class(browser, SHOES)
    changed_by(browser, lambda: paint(browser, (0.1, 0.1)))
    assert (canvas_map(browser) != before).any()
    press_keys(browser, Keys.ESCAPE)
    if is_known:  # the driver's key does not reach the browser's own Escape
        browser.execute_script("document.fullscreenElement && document.exitFullscreen()")
    wait_for(lambda: not browser.find_elements("css selector", ".full-screen, .behind"), "the page as it was")
    assert not browser.find_elements("css selector", "[inert]")
    click(browser, "#new-sample")


def test_another_map_in_the_same_appearance_and_with_locks(
    browser: Any, page_address: str, pipe: GroupDNetPipeline, examples: Path
) -> None:
    def same(look: Any) -> None:
        wait_for(lambda: np.abs(pixels(browser) - np.asarray(look.image)).max() <= 1, "the look")

    open_page(browser, page_address)
    first = pipe.sample(canvas_map(browser), seed=OPENING_SEEDS[0])
    second, fourth = (read_label_map(examples / f"example_0{n}.png", FIGURE_LABELS) for n in (2, 4))
    click(browser, "#appearance input[value='Same appearance']")
    click(browser, "#examples button:nth-of-type(2)")
    edited = pipe.edit(first, second, seed=OPENING_SEEDS[0])
    same(edited)
    new = ", ".join(name for name in edited.classes if name not in first.classes)
    wait_for(lambda: status(browser).startswith("Example 2, in the same appearance"), "the sentence")
    assert (f", {new} with seed" in status(browser)) == bool(new)
    click(browser, "#appearance input[value='New appearance']")
    click(browser, f"#painter [data-class='{TOP}'] [data-tool=lock]")
    wait_for(lambda: "New samples keep" in status(browser), "the lock")
    click(browser, "#examples button:nth-of-type(4)")
    same(pipe.mix(fourth, {"top-clothes": edited}, seed=OPENING_SEEDS[0]))
    wait_for(lambda: status(browser).endswith(", but top-clothes as before."), "the sentence")
