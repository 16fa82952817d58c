"""What can be picked, as a visitor sees it: enlarged, at a strength, in a colour, and nine samples at once."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest

from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from tests.browser.visitor import (
    HAIR,
    TOP,
    candidates_of,
    canvas_map,
    changed_by,
    click,
    draw_seed,
    is_shown,
    open_page,
    pixels,
    source,
    sources,
    status,
    wait_for,
    wait_until_idle,
)

pytestmark = pytest.mark.browser

ENLARGED = "#candidates .enlarged"


def choice(place: int, row: str = "#candidates") -> str:
    return f"{row} button:nth-of-type({place})"


def box(browser: Any, selector: str) -> dict[str, float]:
    script = "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()"
    return browser.execute_script(script, selector)


def overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    across = min(one["right"], other["right"]) - max(one["left"], other["left"])
    down = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    return across > 1 and down > 1


def steps(browser: Any) -> int:
    return len(browser.find_elements("css selector", "#history .pick"))


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def number_of_enlarged(browser: Any) -> str | None:
    """Return the number on the picture that enlarges a candidate; None where there is none."""
    shown = is_shown(browser, ENLARGED)
    return browser.find_element("css selector", ENLARGED).text if shown else None


def slide(browser: Any, percent: int) -> None:
    """Move the slider to a strength and let it go."""
    script = (
        "const slider = document.querySelector('#choice-bar input[type=range]'); slider.value = arguments[0];"
        "for (const kind of ['input', 'change']) slider.dispatchEvent(new Event(kind))"
    )
    browser.execute_script(script, percent)
    # Whoever slides while nothing is picked chooses for the next one.
    wait_for(lambda: percent == 100 or f"at {percent} %" in status(browser), f"{percent} %")
    wait_until_idle(browser)


@pytest.mark.parametrize("width", [390, 1280])
def test_candidates_are_enlarged_where_they_hide_no_other(
    browser: Any, page_address: str, width: int
) -> None:
    from selenium.webdriver.common.keys import Keys

    open_page(browser, page_address, width)
    candidates_of(browser, TOP)
    wait_until_idle(browser)
    browser.execute_script("document.activeElement.blur()")
    first = browser.find_element("css selector", choice(1))
    browser.execute_script("arguments[0].focus({focusVisible: true})", first)
    wait_for(lambda: number_of_enlarged(browser) == "1 of 4", "the first, enlarged")
    press(browser, "3")
    wait_for(lambda: number_of_enlarged(browser) == "3 of 4", "the third, enlarged")
    press(browser, Keys.ARROW_RIGHT)
    wait_for(lambda: number_of_enlarged(browser) == "4 of 4", "the fourth, enlarged")
    large, small = box(browser, ENLARGED), box(browser, choice(4))
    assert large["width"] >= 2 * small["width"]
    assert small["width"] >= 80
    assert not any(overlap(large, box(browser, choice(place))) for place in range(1, 5))
    # The whole picture once, and not a part of it.
    style = browser.find_element("css selector", ENLARGED).value_of_css_property
    assert (style("background-size"), style("background-repeat")) == ("contain", "no-repeat")
    press(browser, Keys.ESCAPE)
    wait_for(lambda: number_of_enlarged(browser) is None, "nothing enlarged")
    press(browser, "2")
    _, picked = changed_by(browser, lambda: press(browser, Keys.ENTER))
    assert number_of_enlarged(browser) is None  # the picture itself is to be seen
    wait_for(
        lambda: browser.find_element("css selector", choice(2)).get_attribute("aria-pressed") == "true", "2"
    )
    assert browser.switch_to.active_element == browser.find_element("css selector", choice(2))
    assert picked.shape == (128, 128, 3)


def test_under_the_pointer_or_a_resting_finger(browser: Any, page_address: str) -> None:
    from selenium.webdriver import ActionChains

    open_page(browser, page_address)
    candidates_of(browser, TOP)
    second = browser.find_element("css selector", choice(2))
    ActionChains(browser).move_to_element(second).perform()
    wait_for(lambda: number_of_enlarged(browser) == "2 of 4", "the second, enlarged")
    ActionChains(browser).move_to_element(browser.find_element("css selector", "#title")).perform()
    wait_for(lambda: number_of_enlarged(browser) is None, "nothing enlarged")
    before = source(browser, "#picture")
    touch = (
        "arguments[0].dispatchEvent(new PointerEvent(arguments[1], {pointerType: 'touch', bubbles: true}))"
    )
    browser.execute_script(touch, second, "pointerdown")
    wait_for(lambda: number_of_enlarged(browser) == "2 of 4", "the second, enlarged")
    browser.execute_script(touch, second, "pointerup")
    browser.execute_script("arguments[0].click()", second)  # which ends the touch, and picks nothing
    wait_for(lambda: number_of_enlarged(browser) is None, "nothing enlarged")
    wait_until_idle(browser)
    assert source(browser, "#picture") == before
    changed_by(browser, lambda: browser.execute_script("arguments[0].click()", second))


@pytest.mark.slow
def test_a_strength_is_one_step_with_its_pick(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    label = canvas_map(browser)
    opened = pixels(browser)
    assert not is_shown(browser, "#choice-bar .strength")
    candidates_of(browser, TOP)
    _, picked = changed_by(browser, lambda: click(browser, choice(3)))
    distances = []
    for percent in (75, 50, 25):
        _, weaker = changed_by(browser, lambda p=percent: slide(browser, p))
        distances.append(np.abs(weaker - opened)[label == TOP].mean())
    assert np.abs(picked - opened)[label == TOP].mean() > distances[0] > distances[1] > distances[2] > 0
    told = r"Redrew top-clothes \(seed \d+\) at 25 %\."
    wait_for(lambda: re.fullmatch(told, status(browser)), "the sentence")
    wait_for(lambda: steps(browser) == 2, "one step")
    _, other = changed_by(browser, lambda: click(browser, choice(1)))  # at the same strength
    wait_for(lambda: "at 25 %" in status(browser), "the strength of what is picked next")
    assert np.abs(other - opened)[label == TOP].mean() > 0
    _, back = changed_by(browser, lambda: click(browser, "#undo"))
    assert np.array_equal(back, opened)
    wait_for(lambda: not is_shown(browser, "#choice-bar .strength"), "no bar")


@pytest.mark.slow
def test_a_colour_is_wished_for(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before = candidates_of(browser, HAIR)
    click(browser, "#choice-bar .wished[title=blue]")
    wait_for(lambda: status(browser).startswith("Looking for hair in #3366cc"), "the progress")
    told = wait_for(lambda: status(browser) if "nearest" in status(browser) else None, "what came of it")
    assert re.fullmatch(
        "The nearest to #3366cc that this model was found to have for hair is #[0-9a-f]{6}[.] Press .*", told
    )
    wait_until_idle(browser)
    granted = sources(browser, "#candidates")
    assert 1 <= len(granted) <= len(before)
    changed_by(browser, lambda: click(browser, choice(1)))
    wait_for(lambda: steps(browser) == 2, "one step")
    click(browser, "#choice-bar .dismiss")
    wait_for(lambda: not sources(browser, "#candidates"), "no candidates")


def test_nine_samples_to_pick_from(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    label = canvas_map(browser)
    _, opened = draw_seed(browser, 11)
    click(browser, f"#painter [data-class='{HAIR}'] [data-tool=lock]")
    wait_for(lambda: "keep hair" in status(browser), "the lock")
    click(browser, "#nine-samples")
    wait_for(lambda: len(sources(browser, "#samples")) == 9, "nine samples")
    told = "Nine samples: press one to take it. All keep hair."
    wait_for(lambda: status(browser) == told, "the sentence")
    assert not is_shown(browser, "#choice-bar .colours")
    for one, other in itertools.pairwise(sources(browser, "#samples")):
        assert one != other
    assert steps(browser) == 2
    _, picked = changed_by(browser, lambda: click(browser, choice(7, "#samples")))
    name = browser.find_element("css selector", choice(7, "#samples") + " img").get_attribute("alt")
    seed = browser.find_element("css selector", "#seed input").get_attribute("value")
    assert name == f"Sample 7, seed {seed}"
    hair, face = label == HAIR, label == FIGURE_LABELS.id_of("face")
    inner = hair & np.roll(hair, 2, 0) & np.roll(hair, -2, 0) & np.roll(hair, 2, 1) & np.roll(hair, -2, 1)
    assert np.abs(picked - opened)[inner].mean() < np.abs(picked - opened)[face].mean()
    changed_by(browser, lambda: click(browser, choice(2, "#samples")))
    wait_for(lambda: steps(browser) == 3, "one step for both")
    _, back = changed_by(browser, lambda: click(browser, "#undo"))
    assert np.array_equal(back, opened)
    wait_for(lambda: not sources(browser, "#samples"), "no samples")


def test_what_was_wished_for_another_picture_is_not_shown(browser: Any, page_address: str) -> None:
    """The visitor goes on while nine samples are drawn: neither is lost, nor stands beside the wrong picture."""
    open_page(browser, page_address)
    buttons = ("#nine-samples", "#examples .pick:nth-of-type(2)")
    browser.execute_script(
        "for (const one of arguments[0]) document.querySelector(one).click()", list(buttons)
    )
    wait_for(lambda: steps(browser) == 2, "the other map")
    wait_until_idle(browser)
    if "not shown" in status(browser):
        assert not sources(browser, "#samples")
    else:  # the nine came first, and went with the picture that they were drawn from
        wait_for(lambda: not sources(browser, "#samples"), "no samples")
