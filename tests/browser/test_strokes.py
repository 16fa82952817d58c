"""Strokes are steps of the session, as all that changes the picture is; none is lost, whatever comes meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Keys

from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from tests.browser.visitor import (
    HAIR,
    canvas_map,
    changed_by,
    choose_class,
    choose_tool,
    click,
    open_page,
    open_tab,
    paint,
    pixels,
    set_brush,
    status,
    wait_for,
    wait_until_idle,
)

pytestmark = pytest.mark.browser

SHOES = FIGURE_LABELS.id_of("shoes")
# What the page asks its server for is held back, and goes out in turn when it is released.
HOLD = """
const real = window.fetch, held = [];
window.held = held;
window.fetch = (input, options) =>
  String(input.url ?? input).includes("/queue/join")
    ? new Promise((resolve, reject) => held.push(() => real(input, options).then(resolve, reject)))
    : real(input, options);
window.release = async () => {
  window.fetch = real;
  for (const one of held) await one();
};
"""
# The next thing that the page asks for is refused as by a server that is too busy.
REFUSE = """
const real = window.fetch;
window.fetch = (input, options) => {
  if (!String(input.url ?? input).includes("/queue/join")) return real(input, options);
  window.fetch = real;
  return Promise.resolve(new Response('{"detail": "Queue is full."}', {status: 503}));
};
"""


def keys(browser: Any, *held: str, key: str, on: str = "body") -> None:
    """Press a key with others held, wherever ``on`` is."""
    browser.execute_script("document.activeElement.blur(); document.querySelector(arguments[0]).focus()", on)
    chain = ActionChains(browser)
    for one in held:
        chain = chain.key_down(one)
    chain = chain.send_keys(key)
    for one in held:
        chain = chain.key_up(one)
    chain.perform()


def enabled(browser: Any, selector: str) -> bool:
    return browser.find_element("css selector", selector).is_enabled()


def steps(browser: Any) -> int:
    return len(browser.find_elements("css selector", "#history .pick"))


def test_strokes_and_samples_are_one_history(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    buttons = [f"#painter [data-tool={name}]" for name in ("undo", "redo")] + ["#undo", "#redo"]
    assert not any(enabled(browser, one) for one in buttons), "when a page opens there is nothing to undo"
    keys(browser, Keys.CONTROL, key="z")
    opened = pixels(browser), canvas_map(browser)
    choose_class(browser, HAIR)
    painted = changed_by(browser, lambda: paint(browser, (0.1, 0.2), (0.3, 0.2)))[1], canvas_map(browser)
    sampled = changed_by(browser, lambda: click(browser, "#new-sample"))[1], painted[1]
    assert steps(browser) == 3

    def shown(picture: np.ndarray, label: np.ndarray) -> None:
        wait_for(lambda: np.array_equal(pixels(browser), picture), "the picture")
        wait_for(lambda: np.array_equal(canvas_map(browser), label), "its map")
        wait_until_idle(browser)

    keys(browser, Keys.CONTROL, key="z", on="#seed input")  # which undoes what was typed
    keys(browser, Keys.CONTROL, key="z")
    shown(*painted)
    click(browser, "#painter [data-tool=undo]")
    shown(*opened)
    assert [enabled(browser, one) for one in buttons] == [False, True, False, True]
    keys(browser, Keys.CONTROL, key="y", on="#keep")
    shown(*painted)
    keys(browser, Keys.CONTROL, Keys.SHIFT, key="z")
    shown(*sampled)
    click(browser, "#undo")
    shown(*painted)
    wait_for(lambda: enabled(browser, "#painter [data-tool=undo]"), "undo on the canvas")


def test_strokes_in_quick_succession_are_a_step_each(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    set_brush(browser, 4)
    for y in (0.1, 0.2):
        paint(browser, (0.05, y))
    wait_for(lambda: steps(browser) == 3, "a step for each stroke")


def test_answers_take_no_stroke_back(browser: Any, page_address: str) -> None:
    """Three strokes, an undo, and a fourth that is being painted, all before the first answer."""
    open_page(browser, page_address)
    before = canvas_map(browser)
    height = before.shape[0]
    choose_class(browser, SHOES)
    set_brush(browser, 4)
    browser.execute_script(HOLD)
    for y in (0.1, 0.2, 0.3):
        paint(browser, (0.05, y), (0.1, y))
    painted = canvas_map(browser)
    assert browser.execute_script("return held.length") == 2, "two are sent, the third waits for an answer"
    keys(browser, Keys.CONTROL, key="z")
    assert browser.execute_script("return held.length") == 4, "what is undone is sent first"
    canvas = browser.find_element("css selector", "#painter canvas")
    size = canvas.size
    at = round(-0.4 * size["width"]), round(0.3 * size["height"])
    ActionChains(browser, duration=20).move_to_element_with_offset(canvas, *at).click_and_hold().perform()
    browser.execute_script("return release()")
    third = slice(round(0.27 * height), round(0.33 * height))
    wait_for(lambda: np.array_equal(canvas_map(browser)[third], before[third]), "the third stroke to be gone")
    expected = painted.copy()
    expected[third] = before[third]
    fourth = canvas_map(browser) != expected
    assert fourth.any()
    assert np.nonzero(fourth)[0].mean() / height == pytest.approx(0.8, abs=0.02)
    changed_by(browser, lambda: ActionChains(browser).release().perform())
    wait_until_idle(browser)
    expected[fourth] = SHOES
    assert np.array_equal(canvas_map(browser), expected)
    assert steps(browser) == 4
    # The session has what the canvas shows.
    changed_by(browser, lambda: click(browser, "#new-sample"))
    assert np.array_equal(canvas_map(browser), expected)
    click(browser, "#undo")
    wait_until_idle(browser)
    click(browser, "#undo")
    expected[fourth] = before[fourth]
    wait_for(lambda: np.array_equal(canvas_map(browser), expected), "the map before the fourth")


def test_a_refused_stroke_goes_with_the_next(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before = canvas_map(browser)
    choose_class(browser, SHOES)
    set_brush(browser, 6)
    browser.execute_script(REFUSE)
    paint(browser, (0.1, 0.1))
    wait_for(
        lambda: browser.execute_script("return window.fetch.toString().includes('native')"), "the refusal"
    )
    refused = canvas_map(browser)
    assert (refused != before).any(), "the canvas keeps it"
    changed_by(browser, lambda: paint(browser, (0.1, 0.9)))
    both = canvas_map(browser)
    wait_for(lambda: status(browser) == "New on the map: shoes.", "the sentence")
    changed_by(browser, lambda: click(browser, "#undo"))
    wait_for(lambda: np.array_equal(canvas_map(browser), before), "the map before both")
    changed_by(browser, lambda: click(browser, "#redo"))
    wait_for(lambda: np.array_equal(canvas_map(browser), both), "both")


def test_the_photo_canvas_has_a_history_of_its_own(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    stage = canvas_map(browser)
    open_tab(browser, "Photo")
    photo = "#photo-painter"
    undo, redo = (f"{photo} [data-tool={name}]" for name in ("undo", "redo"))
    assert not enabled(browser, undo)
    empty = canvas_map(browser, photo)
    choose_class(browser, HAIR, photo)
    choose_tool(browser, "rectangle", photo)
    paint(browser, (0.2, 0.2), (0.6, 0.6), painter=photo)
    painted = canvas_map(browser, photo)
    assert (painted == HAIR).any()
    keys(browser, Keys.CONTROL, key="z", on=f"{photo} canvas")
    assert np.array_equal(canvas_map(browser, photo), empty)
    assert not enabled(browser, undo)
    click(browser, redo)
    assert np.array_equal(canvas_map(browser, photo), painted)
    assert np.array_equal(canvas_map(browser), stage)
    assert steps(browser) == 1
