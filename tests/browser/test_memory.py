"""The history and the shelf: every change is one step that comes back, and no kept look is lost."""

from __future__ import annotations

import io
import urllib.request
from typing import Any

import numpy as np
import pytest

from groupdnet_hub import Look
from tests.browser.visitor import (
    canvas_map,
    changed_by,
    click,
    draw_seed,
    keep,
    message,
    open_page,
    open_tab,
    paint,
    pixels,
    source,
    status,
    wait_for,
    wait_until_idle,
)

pytestmark = pytest.mark.browser


def names(browser: Any) -> list[str]:
    script = "return [...document.querySelectorAll('#shelf .name span')].map((one) => one.textContent)"
    return browser.execute_script(script)


def told(browser: Any, sentence: str) -> None:
    wait_for(lambda: status(browser) == sentence, f"the sentence {sentence!r}")


def steps(browser: Any) -> int:
    return len(browser.find_elements("css selector", "#history .pick"))


def test_strokes_and_samples_are_steps_of_one_history(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    assert steps(browser) == 1
    for button in ("#undo", "#redo"):
        assert not browser.find_element("css selector", button).is_enabled()
    before, first = canvas_map(browser), pixels(browser)
    changed_by(browser, lambda: paint(browser, (0.2, 0.2), (0.8, 0.2)))
    painted = canvas_map(browser)
    draw_seed(browser, 5)
    wait_for(lambda: steps(browser) == 3, "three steps")
    wait_until_idle(browser)
    changed_by(browser, lambda: click(browser, "#undo"))
    assert np.array_equal(canvas_map(browser), painted)
    _, back = changed_by(browser, lambda: click(browser, "#undo"))
    wait_for(lambda: np.array_equal(canvas_map(browser), before), "the map of the first step")
    assert np.array_equal(back, first)
    # Each step shows its own label map beside its picture.
    script = "return [...document.querySelectorAll('#history .corner')].map((one) => one.src)"
    maps = browser.execute_script(script)
    assert maps[0] != maps[1] == maps[2]
    changed_by(browser, lambda: click(browser, "#history .pick:nth-of-type(2)"))
    wait_for(lambda: np.array_equal(canvas_map(browser), painted), "the painted map")


def test_a_mix_that_changes_nothing_adds_nothing(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    keep(browser)
    open_tab(browser, "Mix")
    click(browser, "#board [data-class='hair'] td:nth-of-type(2) input")
    click(browser, "#mix")
    told(browser, "The picture has these appearances already: this mix changes nothing.")
    assert steps(browser) == 1


@pytest.mark.slow
def test_the_shelf_is_the_visitors(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    for seed in range(9):
        draw_seed(browser, seed)
        keep(browser)
    assert names(browser) == [f"look {number}" for number in range(1, 10)]
    shown = source(browser, "#shelf .item:nth-of-type(9)")

    click(browser, "#shelf .item:nth-of-type(9) .name")
    field = browser.find_element("css selector", ".shelf-editor input")
    field.clear()
    field.send_keys("red <b>coat</b>\n")
    told(browser, "look 9 is called red <b>coat</b> now.")
    wait_for(lambda: names(browser)[8] == "red <b>coat</b>", "the name")
    for _ in range(2):
        click(browser, ".shelf-editor [title='Move it to the left']")
    wait_for(lambda: names(browser).index("red <b>coat</b>") == 6, "the look at the seventh place")
    assert source(browser, "#shelf .item:nth-of-type(7)") == shown

    downloads = """
      window.saved = [];
      const click = HTMLAnchorElement.prototype.click;
      HTMLAnchorElement.prototype.click = function () { window.saved.push([this.download, this.href]); };
    """
    browser.execute_script(downloads)
    click(browser, ".shelf-editor [title^='Save this look']")
    name, address = wait_for(lambda: (browser.execute_script("return window.saved") or [None])[0], "the file")
    assert name == "red _b_coat_b_.zip"
    with urllib.request.urlopen(address) as answer:
        look = Look.from_bytes(io.BytesIO(answer.read()).read())
    assert look.seed == 8
    _, picked = changed_by(browser, lambda: click(browser, "#shelf .item:nth-of-type(1) .pick"))
    assert not np.array_equal(picked, np.asarray(look.image))
    _, picked = changed_by(browser, lambda: click(browser, "#shelf .item:nth-of-type(7) .pick"))
    assert np.array_equal(picked, np.asarray(look.image))

    click(browser, ".shelf-editor [title^='Delete it']")
    told(browser, "red <b>coat</b> is deleted from the shelf.")
    wait_for(lambda: len(names(browser)) == 8, "eight looks")
    click(browser, ".shelf-gone button")
    wait_for(lambda: len(names(browser)) == 9, "nine looks again")
    assert names(browser)[6] == "red <b>coat</b>"


def test_a_name_that_is_taken_is_refused(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    keep(browser)
    click(browser, "#shelf .name")
    field = browser.find_element("css selector", ".shelf-editor input")
    field.clear()
    field.send_keys("example 1\n")
    assert message(browser) == "There is a look 'example 1' already: choose another name."
    assert names(browser) == ["look 1"]


def test_small_pictures_that_were_lost_are_sent_again(browser: Any, page_address: str) -> None:
    """As when the answer that brought them broke off on its way."""
    open_page(browser, page_address)
    browser.execute_script("window.groupdnetThumbnails.clear()")
    draw_seed(browser, 3)
    filled = (
        "return [...document.querySelectorAll('#history img')].every((one) => one.src.startsWith('data:'))"
    )
    wait_for(lambda: steps(browser) == 2 and browser.execute_script(filled), "the small pictures")
