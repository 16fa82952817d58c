"""The page in a real browser: what a visitor clicks, checked by the pixels that come back."""

from __future__ import annotations

import io
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import FIGURE_LABELS, draw_figure, label_picture

pytestmark = pytest.mark.browser

PATIENCE = 60.0
TOP, HAIR = FIGURE_LABELS.id_of("top-clothes"), FIGURE_LABELS.id_of("hair")


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """What ``condition`` returns as soon as it is neither None nor False."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found is not None and found is not False:
            return found
        time.sleep(0.2)
    pytest.fail(f"waited {PATIENCE:.0f} s for {what}")


def source(browser: Any, element: str) -> str | None:
    """Address of the picture shown in an element."""
    return browser.execute_script(
        "const image = document.querySelector('#' + arguments[0] + ' img'); return image ? image.src : null",
        element,
    )


def pixels(browser: Any, element: str) -> np.ndarray:
    with urllib.request.urlopen(source(browser, element), timeout=30) as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB")).astype(int)


def is_shown(browser: Any, selector: str) -> bool:
    return any(element.is_displayed() for element in browser.find_elements("css selector", selector))


def click(browser: Any, selector: str) -> None:
    element = wait_for(
        lambda: next((e for e in browser.find_elements("css selector", selector) if e.is_displayed()), None),
        selector,
    )
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def upload(browser: Any, path: Path) -> None:
    browser.find_element("css selector", "#map-sources input[type=file]").send_keys(str(path))


def message(browser: Any) -> str:
    """The sentence of the refusal that the page shows."""
    return wait_for(
        lambda: next(
            (
                e.text
                for e in browser.find_elements("css selector", "[data-testid=toast-text]")
                if e.text.strip()
            ),
            None,
        ),
        "the message",
    )


def changed_by(browser: Any, action: Callable[[], None]) -> tuple[np.ndarray, np.ndarray]:
    """The picture before and after an action that changes it."""
    before, address = pixels(browser, "picture"), source(browser, "picture")
    action()
    wait_for(lambda: source(browser, "picture") not in (None, address), "another picture")
    return before, pixels(browser, "picture")


def open_page(browser: Any, address: str) -> None:
    browser.get(address)
    wait_for(lambda: source(browser, "picture"), "the first picture")


def seed_field(browser: Any) -> Any:
    return browser.find_element("css selector", "#seed input")


def draw_seed(browser: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture before and after another seed is typed in and drawn."""
    field = seed_field(browser)
    field.clear()
    field.send_keys(str(seed))
    return changed_by(browser, lambda: click(browser, "#sample"))


def region(browser: Any, class_id: int) -> np.ndarray:
    """bool [H, W] of the class on the label map that the page shows."""
    shown = pixels(browser, "label-map")
    return (shown == np.array(FIGURE_LABELS.palette[class_id])).all(axis=2)


def severe_entries(browser: Any) -> list[dict[str, Any]]:
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_sample_and_reroll(browser: Any, page_address: str, bundled: bool) -> None:
    open_page(browser, page_address)
    first, second = changed_by(
        browser, lambda: click(browser, "#examples .gallery-item:nth-of-type(2) button")
    )
    top = region(browser, TOP)
    assert 0.02 < top.mean() < 0.6
    assert np.abs(first - second).mean() > 1

    before, sampled = changed_by(browser, lambda: click(browser, "#new-sample"))
    assert np.abs(before - sampled)[top].mean() > 1

    rerolls = [changed_by(browser, lambda: click(browser, f"#reroll-{TOP}")) for _ in range(3)]
    inside = np.mean([np.abs(b - a)[top].mean() for b, a in rerolls])
    outside = np.mean([np.abs(b - a)[~top].mean() for b, a in rerolls])
    assert inside > (2 if bundled else 0.1)
    assert inside > outside * (3 if bundled else 1)

    last, earlier = changed_by(browser, lambda: click(browser, "#undo"))
    assert np.array_equal(earlier, rerolls[-1][0])
    assert np.array_equal(last, rerolls[-1][1])

    for class_id in range(len(FIGURE_LABELS)):
        on_map = bool(region(browser, class_id).any())
        assert is_shown(browser, f"#reroll-{class_id}") == on_map
    assert severe_entries(browser) == []


def test_the_same_seed_draws_the_same_picture(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    first, opening = pixels(browser, "picture"), seed_field(browser).get_attribute("value")
    changed_by(browser, lambda: click(browser, "#new-sample"))
    wait_for(lambda: seed_field(browser).get_attribute("value") != opening, "the seed of the new sample")
    _, again = draw_seed(browser, int(opening))
    assert np.array_equal(again, first)


def test_mixing_takes_the_chosen_class_from_look_b(browser: Any, page_address: str, bundled: bool) -> None:
    open_page(browser, page_address)
    kept = pixels(browser, "picture")
    click(browser, "#keep")
    wait_for(lambda: source(browser, "shelf"), "the look on the shelf")
    _, other = draw_seed(browser, 5)
    # The first look that is kept is look B; look A is the current picture, on the same label map.
    assert np.array_equal(pixels(browser, "picture-b"), kept)
    assert np.array_equal(pixels(browser, "picture-a"), other)
    click(browser, f"#from-{TOP} label:nth-of-type(2)")
    _, mixed = changed_by(browser, lambda: click(browser, "#mix"))
    top = region(browser, TOP)
    change = np.abs(mixed - other)
    assert change[top].mean() > change[~top].mean() * (3 if bundled else 1)
    if bundled:
        assert np.abs(mixed - kept)[top].mean() < np.abs(other - kept)[top].mean()

    _, back = changed_by(browser, lambda: click(browser, "#shelf .gallery-item button"))
    assert np.array_equal(back, kept)
    assert severe_entries(browser) == []


def test_mixing_across_maps_keeps_the_map_of_look_a(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    click(browser, "#keep")
    wait_for(lambda: source(browser, "shelf"), "the look on the shelf")
    changed_by(browser, lambda: click(browser, "#examples .gallery-item:nth-of-type(4) button"))
    # The same seed gives the same hair on every map.
    draw_seed(browser, 5)
    shown = pixels(browser, "label-map")
    # Example 4 is a dress with socks and shoes, example 1 an upper body: they share neither.
    assert is_shown(browser, f"#from-{HAIR}")
    assert not is_shown(browser, f"#from-{FIGURE_LABELS.id_of('shoes')}")
    click(browser, f"#from-{HAIR} label:nth-of-type(2)")
    changed_by(browser, lambda: click(browser, "#mix"))
    assert np.array_equal(pixels(browser, "label-map"), shown)


def test_a_mix_without_a_choice_is_refused_in_words(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    click(browser, "#mix")
    assert message(browser).startswith("Look A and look B are the same picture")


@pytest.mark.parametrize("kind", ["photo", "cut off", "not a picture"])
def test_a_bad_upload_says_so_and_changes_nothing(
    browser: Any, page_address: str, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "holiday.png"
    if kind == "photo":
        photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(photo).save(path)
        expected = "no class of the palette"
    elif kind == "cut off":
        _, label = draw_figure(3, (256, 256))
        label_picture(label, FIGURE_LABELS).save(path)
        path.write_bytes(path.read_bytes()[:500])
        expected = "'holiday.png' is damaged or cut off"
    else:
        path.write_text("dear diary")
        expected = "'holiday.png' is not a picture that can be read"
    open_page(browser, page_address)
    before, map_before = pixels(browser, "picture"), pixels(browser, "label-map")
    upload(browser, path)
    text = message(browser)
    assert expected in text
    assert "\n" not in text.strip()
    assert "/" not in text
    assert np.array_equal(pixels(browser, "picture"), before)
    assert np.array_equal(pixels(browser, "label-map"), map_before)


def test_an_uploaded_map_is_drawn(browser: Any, page_address: str, tmp_path: Path) -> None:
    open_page(browser, page_address)
    _, label = draw_figure(77, (256, 256), crop="upper")
    label_picture(label, FIGURE_LABELS).save(tmp_path / "mask.png")
    changed_by(browser, lambda: upload(browser, tmp_path / "mask.png"))
    shown = region(browser, TOP)
    assert shown.shape == (128, 128)
    assert (shown == (label[::2, ::2] == TOP)).mean() > 0.99


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_window_and_shows_the_picture_large(browser: Any, page_address: str, width: int) -> None:
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    open_page(browser, page_address)
    wide, inner = browser.execute_script(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    )
    assert width - 20 <= inner <= width  # a scroll bar takes the rest
    assert wide <= inner
    image = browser.find_element("css selector", "#picture img")
    wait_for(lambda: image.size["width"] > 300, "a large picture")
    assert image.size["height"] == pytest.approx(image.size["width"], abs=1)
    assert image.get_attribute("alt") == "The picture drawn from the label map"


def test_nothing_is_fetched_from_elsewhere(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert fetched
    assert [name for name in fetched if not name.startswith((page_address, "data:", "blob:"))] == []
