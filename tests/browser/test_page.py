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

from groupdnet_hub import FIGURE_LABELS

pytestmark = pytest.mark.browser

PATIENCE = 90.0
TOP = FIGURE_LABELS.id_of("top-clothes")


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


def click(browser: Any, selector: str) -> None:
    element = wait_for(
        lambda: next((e for e in browser.find_elements("css selector", selector) if e.is_displayed()), None),
        selector,
    )
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def changed_by(browser: Any, action: Callable[[], None]) -> tuple[np.ndarray, np.ndarray]:
    """The picture before and after an action that changes it."""
    before, address = pixels(browser, "picture"), source(browser, "picture")
    action()
    wait_for(lambda: source(browser, "picture") not in (None, address), "another picture")
    return before, pixels(browser, "picture")


def open_page(browser: Any, address: str) -> None:
    browser.get(address)
    wait_for(lambda: source(browser, "picture"), "the first picture")


def region(browser: Any, class_id: int) -> np.ndarray:
    """bool [H, W] of the class on the label map that the page shows."""
    shown = pixels(browser, "label-map")
    return (shown == np.array(FIGURE_LABELS.palette[class_id])).all(axis=2)


def test_sample_and_reroll(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    first, second = changed_by(
        browser, lambda: click(browser, "#examples .gallery-item:nth-of-type(2) button")
    )
    top = region(browser, TOP)
    assert 0.02 < top.mean() < 0.6
    assert np.abs(first - second).mean() > 1

    before, sampled = changed_by(browser, lambda: click(browser, "#surprise"))
    assert np.abs(before - sampled)[top].mean() > 1

    rerolls = [changed_by(browser, lambda: click(browser, f"#reroll-{TOP}")) for _ in range(3)]
    inside = np.mean([np.abs(b - a)[top].mean() for b, a in rerolls])
    outside = np.mean([np.abs(b - a)[~top].mean() for b, a in rerolls])
    assert inside > 2
    assert inside > 3 * outside
    # Socks are not on every map: no button for a class that is absent.
    absent = [i for i in range(len(FIGURE_LABELS)) if not region(browser, i).any()]
    for class_id in absent:
        found = browser.find_elements("css selector", f"#reroll-{class_id}")
        assert not any(element.is_displayed() for element in found)
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


def test_mixing_takes_the_chosen_class_from_the_shelf(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    kept = pixels(browser, "picture")
    click(browser, "#keep")
    wait_for(lambda: source(browser, "shelf"), "the look on the shelf")
    _, other = changed_by(browser, lambda: click(browser, "#surprise"))
    boxes = browser.find_elements("css selector", "#from-b label")
    chosen = next(box for box in boxes if box.text.strip() == "top-clothes")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", chosen)
    chosen.click()
    _, mixed = changed_by(browser, lambda: click(browser, "#mix"))
    top = region(browser, TOP)
    assert np.abs(mixed - kept)[top].mean() < np.abs(other - kept)[top].mean() / 2
    change = np.abs(mixed - other)
    assert change[top].mean() > 3 * change[~top].mean()


def test_a_bad_upload_says_so_and_changes_nothing(browser: Any, page_address: str, tmp_path: Path) -> None:
    open_page(browser, page_address)
    before = pixels(browser, "picture")
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "holiday.png")
    browser.find_element("css selector", "#upload input, input[type=file]").send_keys(
        str(tmp_path / "holiday.png")
    )
    toast = wait_for(
        lambda: next(
            (
                e.text
                for e in browser.find_elements("css selector", ".toast-body, .toast-text")
                if e.text.strip()
            ),
            None,
        ),
        "the message",
    )
    assert "palette" in toast
    assert "/" not in toast.replace("and/or", "")
    assert np.array_equal(pixels(browser, "picture"), before)


def test_an_uploaded_map_is_drawn(browser: Any, page_address: str, tmp_path: Path) -> None:
    from groupdnet_hub import draw_figure, label_picture

    open_page(browser, page_address)
    _, label = draw_figure(77, (256, 256), crop="upper")
    label_picture(label, FIGURE_LABELS).save(tmp_path / "mask.png")
    upload = browser.find_element("css selector", "#upload input, input[type=file]")
    changed_by(browser, lambda: upload.send_keys(str(tmp_path / "mask.png")))
    shown = region(browser, TOP)
    assert shown.shape == (128, 128)
    assert (shown == (label[::2, ::2] == TOP)).mean() > 0.99
