"""The picture is in sight: beside its map, pinned over it on a phone, or scrolled to when it has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.browser.visitor import (
    HAIR,
    candidates_of,
    changed_by,
    click,
    decoded,
    keep,
    open_page,
    open_tab,
    paint,
    pixels,
    source,
    status,
    wait_for,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE = (390, 844)
# How much of an element is within the window, and not under what is pinned.
IN_SIGHT = """
const e = document.querySelector(arguments[0]), box = e.getBoundingClientRect();
const pinned = document.querySelector(".pinned")?.getBoundingClientRect();
const top = pinned?.height && !e.closest(".pinned") ? pinned.bottom : 0;
return box.height ? Math.max(0, Math.min(innerHeight, box.bottom) - Math.max(top, box.top)) / box.height : 0;
"""


def in_sight(browser: Any, selector: str) -> float:
    return browser.execute_script(IN_SIGHT, selector)


def mix(browser: Any) -> None:
    click(browser, "#board input[title='hair of example 2']")
    click(browser, "#mix")


def use_morph(browser: Any) -> None:
    open_tab(browser, "Morph")
    wait_for(lambda: source(browser, "#morph-picture"), "the picture between")
    click(browser, "#morph-use")


ACTIONS: dict[str, Callable[[Any], None]] = {
    "mix": mix,
    "history": lambda browser: click(browser, "#history button:first-child"),
    "morph": use_morph,
    "shelf": lambda browser: click(browser, "#shelf .pick"),
}


def test_on_a_phone_it_is_pinned_over_the_map(browser: Any, page_address: str) -> None:
    open_page(browser, page_address, *PHONE)
    assert not browser.find_element("css selector", ".pinned").is_displayed()
    _, painted = changed_by(browser, lambda: paint(browser, (0.4, 0.5), (0.6, 0.5)))
    for part in (".pinned img", "#painter canvas"):
        assert in_sight(browser, part) > 0.95, part
    wait_for(lambda: source(browser, ".pinned") == source(browser, "#picture"), "the pinned picture")
    assert np.array_equal(decoded(source(browser, ".pinned")), painted)
    wait_for(
        lambda: browser.find_element("css selector", ".pinned p").text == status(browser), "the sentence"
    )
    # What gets the focus does not lie under it: the page is scrolled further.
    field = "#seed input"
    browser.execute_script("document.querySelector(arguments[0]).scrollIntoView()", field)
    assert in_sight(browser, field) == 1
    # A press enlarges it; Escape leads back.
    button = browser.find_element("css selector", ".pinned button")
    button.click()
    large = wait_for(lambda: browser.find_element("css selector", ".whole-picture[open] img"), "it enlarged")
    assert large.rect["width"] > 350
    assert np.array_equal(decoded(source(browser, ".whole-picture")), painted)
    press(browser, "ESCAPE")
    wait_for(lambda: not large.is_displayed(), "the end of it")
    assert browser.switch_to.active_element == button


def press(browser: Any, key: str) -> None:
    from selenium.webdriver import ActionChains, Keys

    ActionChains(browser).send_keys(getattr(Keys, key)).perform()


@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_in_sight_after_each_action(browser: Any, page_address: str, width: int) -> None:
    open_page(browser, page_address, width, 844 if width == 390 else 700)
    keep(browser)
    # Candidates stand with the picture that they may become.
    candidates_of(browser, HAIR)
    wait_for(lambda: in_sight(browser, "#candidates") > 0.95, "the candidates in sight")
    shown = "#picture img" if width == 1280 else ".pinned img"
    wait_for(lambda: max(in_sight(browser, one) for one in ("#picture img", shown)) > 0.4, "the picture")
    changed_by(browser, lambda: click(browser, "#candidates button:nth-of-type(2)"))
    for name, action in ACTIONS.items():
        browser.execute_script("scrollTo({top: document.body.scrollHeight, behavior: 'instant'})")
        changed_by(browser, lambda action=action: action(browser))
        in_sight_now = f"the picture in sight after {name}"
        wait_for(lambda: max(in_sight(browser, one) for one in ("#picture img", shown)) > 0.9, in_sight_now)
        if in_sight(browser, ".pinned img"):
            assert np.array_equal(decoded(source(browser, ".pinned")), pixels(browser))


def test_its_download_is_seen_without_a_mouse(browser: Any, page_address: str) -> None:
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        open_page(browser, page_address, *PHONE)
        link = browser.find_element("css selector", "#picture .save")
        seen = "return arguments[0].checkVisibility({opacityProperty: true, visibilityProperty: true})"
        assert browser.execute_script(seen, link)
        assert link.get_attribute("download").endswith(".png")
        assert min(link.rect["width"], link.rect["height"]) >= 44
    finally:
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
