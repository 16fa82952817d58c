"""The page by keyboard: its place is seen and stays after a pick, arrow keys choose; the help; the seed's field."""

from __future__ import annotations

from typing import Any

import pytest
from page.core.studio import OPENING_SEEDS

from tests.browser.visitor import (
    TOP,
    candidates_of,
    changed_by,
    click,
    draw_seed,
    keep,
    message,
    open_page,
    open_tab,
    pixels,
    source,
    sources,
    wait_for,
    wait_until_idle,
)

pytestmark = pytest.mark.browser

TABS = ("Mix", "Morph", "Photo", "Map files")
# Of what the keyboard reaches: all that shows nothing when it is there. What is seen must stand out, 3 to 1, from what
# lies behind the page.
UNSEEN = """
const light = (text) => text.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
  .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = light(getComputedStyle(document.querySelector(".gradio-container")).backgroundColor);
const atOnce = document.head.appendChild(document.createElement("style"));
atOnce.textContent = "* { transition: none !important }";
const unseen = [];
const reached = "main :is(a[href], button, input, select, summary, canvas, [tabindex='0'])";
for (const e of document.querySelectorAll(reached)) {
  if (e.disabled || e.tabIndex < 0 || e.type === "file" || !e.checkVisibility({visibilityProperty: true})) continue;
  e.focus({preventScroll: true});
  if (document.activeElement !== e) continue;
  const {outlineStyle, outlineWidth, outlineColor} = getComputedStyle(e);
  const [a, b] = [light(outlineColor), behind].sort((x, y) => y - x);
  const isSeen = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 && (a + 0.05) / (b + 0.05) >= 3;
  const name = e.id || e.title || e.ariaLabel || e.textContent.trim();
  if (!isSeen) unseen.push(`${name}: ${outlineStyle} ${outlineColor}`);
}
atOnce.remove();
return unseen;
"""


def press(browser: Any, *keys: str) -> None:
    """Press keys, by their names in selenium or as they are, one after the other."""
    from selenium.webdriver import ActionChains, Keys

    chain = ActionChains(browser)
    for key in keys:
        chain = chain.send_keys(getattr(Keys, key, key))
    chain.perform()


def focus(browser: Any, selector: str) -> None:
    browser.execute_script("document.querySelector(arguments[0]).focus()", selector)


def focused(browser: Any) -> str:
    """What has the focus: its title, or else its name."""
    return browser.execute_script(
        "const e = document.activeElement; return e.title || e.ariaLabel || e.textContent.trim()"
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_keyboard_s_place_is_seen(browser: Any, page_address: str, theme: str) -> None:
    open_page(browser, f"{page_address}?__theme={theme}")
    candidates_of(browser, TOP)
    keep(browser)
    for tab in TABS:
        open_tab(browser, tab)
        wait_until_idle(browser)
        press(browser, "TAB")
        assert browser.execute_script(UNSEEN) == [], tab


def test_arrow_keys_choose_among_the_classes(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    names = browser.execute_script(
        "return [...document.querySelectorAll('#painter .class-name')].map((e) => e.textContent)"
    )
    reached = (
        "return [...document.querySelectorAll('#painter .class-name')].filter((e) => e.tabIndex >= 0).length"
    )
    chosen = "return document.querySelector('#painter [aria-checked=true]').textContent"
    focus(browser, "#painter .class-name[aria-checked=true]")
    at = names.index(browser.execute_script(chosen))
    for key, expected in (
        *(("ARROW_DOWN", at + 1), ("ARROW_RIGHT", at + 2), ("ARROW_UP", at + 1), ("ARROW_LEFT", at)),
        *(("HOME", 0), ("ARROW_UP", len(names) - 1), ("ARROW_DOWN", 0), ("END", len(names) - 1)),
    ):
        press(browser, key)
        assert browser.execute_script(chosen) == names[expected]
        assert focused(browser) == f"Paint with {names[expected]}"
        assert browser.execute_script(reached) == 1  # Tab goes on to what is beside it


def test_the_focus_stays(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    candidates_of(browser, TOP)
    for place in (2, 3):
        focus(browser, f"#candidates button:nth-of-type({place})")
        title = focused(browser)
        changed_by(browser, lambda: press(browser, "ENTER"))
        wait_until_idle(browser)
        assert focused(browser) == title
    focus(browser, "#history button:nth-of-type(1)")
    changed_by(browser, lambda: press(browser, "ENTER"))
    wait_until_idle(browser)
    assert focused(browser) == "Picture 1 of the history"
    focus(browser, f"#painter [data-class='{TOP}'] [data-tool=lock]")
    press(browser, "SPACE")
    locked = f"#painter [data-class='{TOP}'] [data-tool=lock][aria-pressed=true]"
    wait_for(lambda: browser.find_elements("css selector", locked), "the lock")
    assert focused(browser) == "Keep top-clothes as it is"


def test_the_help_opens_and_closes(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    help_text = "dialog.help[open]"

    def is_open() -> bool:
        return bool(browser.find_elements("css selector", help_text))

    focus(browser, ".help-open")
    press(browser, "ENTER")
    wait_for(is_open, "the help")
    text = browser.find_element("css selector", help_text).text
    for word in ("label map", "class", "look", "seed", "locked", "shelf", "Ctrl+Z", "128 x 128 pixels"):
        assert word in text, word
    links = [e.get_attribute("href") for e in browser.find_elements("css selector", f"{help_text} a")]
    assert "https://arxiv.org/abs/2003.12697" in links
    press(browser, "ESCAPE")
    wait_for(lambda: not is_open(), "its end")
    assert focused(browser) == "Help (?)"
    # By its key, from anywhere but a field in which one types; the focus comes back.
    focus(browser, "#keep")
    press(browser, "?")
    wait_for(is_open, "the help")
    press(browser, "ESCAPE")
    wait_for(lambda: not is_open(), "its end")
    assert focused(browser) == "Keep this look"
    focus(browser, "#seed input")
    press(browser, "?")
    assert not is_open()


def test_the_seed_is_that_of_the_picture(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    field = browser.find_element("css selector", "#seed input")

    def shows(value: str, what: str) -> None:
        wait_for(lambda: field.get_attribute("value") == value, f"{value!r} in the field after {what}")

    opening = str(OPENING_SEEDS[0])
    shows(opening, "the arrival")
    keep(browser)
    draw_seed(browser, 5)
    changed_by(browser, lambda: click(browser, "#undo"))
    shows(opening, "undo")
    changed_by(browser, lambda: click(browser, "#redo"))
    shows("5", "redo")
    changed_by(browser, lambda: click(browser, "#shelf .pick"))
    shows(opening, "a look of the shelf")
    candidates_of(browser, TOP)
    seed = browser.find_element("css selector", "#candidates img").get_attribute("alt").split()[-1]
    changed_by(browser, lambda: click(browser, "#candidates button"))
    shows(seed, "a candidate")
    # No seed drew what lies between two looks.
    open_tab(browser, "Morph")
    wait_for(lambda: source(browser, "#morph-picture"), "the picture between")
    changed_by(browser, lambda: click(browser, "#morph-use"))
    shows("", "a morph")
    assert field.get_attribute("placeholder") == "drawn by no seed"
    # A map can be opened all the same, with a seed that is then shown.
    changed_by(browser, lambda: click(browser, "#examples button:nth-of-type(2)"))
    wait_for(lambda: field.get_attribute("value").isdecimal(), "the seed of the new picture")


def test_what_is_no_seed_is_refused(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before, count = pixels(browser), len(sources(browser, "#history"))
    field = browser.find_element("css selector", "#seed input")
    field.clear()
    field.send_keys("3.7")
    click(browser, "#sample")
    assert message(browser) == "3.7 is not a seed: a seed is a whole number from 0 to 2147483647."
    assert (pixels(browser) == before).all()
    assert len(sources(browser, "#history")) == count
