"""What a visitor of the page does and sees, for the browser tests."""

from __future__ import annotations

import base64
import io
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import LabelSet
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map

PATIENCE = 60.0
TOP, HAIR = FIGURE_LABELS.id_of("top-clothes"), FIGURE_LABELS.id_of("hair")


def wait_for(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Return what ``condition`` returns as soon as it is neither None nor False."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = condition()
        if found is not None and found is not False:
            return found
        time.sleep(0.1)
    pytest.fail(f"waited {patience:.0f} s for {what}")


def open_page(
    browser: Any, address: str, width: int = 1280, height: int = 1000, *, known: bool = False
) -> None:
    """Visit the page anew, and wait until the first picture is there and nothing moves any more.

    Args:
        browser: the visitor's.
        address: of the page.
        width: of the window.
        height: of the window.
        known: whether the browser still has the work of earlier visits.
    """
    # The page before would complain of an answer that is gone.
    keeps = "return document.querySelector('.keeper[data-keeping]') !== null"
    wait_for(lambda: not browser.execute_script(keeps), "the page before to keep its work")
    if not known:
        forgotten = {"origin": address.rstrip("/"), "storageTypes": "indexeddb"}
        browser.execute_cdp_cmd("Storage.clearDataForOrigin", forgotten)
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)
    wait_for(lambda: source(browser, "#picture"), "the first picture")
    wait_for(lambda: source(browser, "#history"), "the history")
    wait_until_idle(browser)


def wait_until_idle(browser: Any) -> None:
    """Wait until the page waits for no answer of its server, and has kept what there is to keep."""
    parts = "[data-testid=status-tracker]:not(.hide), .keeper[data-keeping]"
    busy = f"return document.querySelector('{parts}') !== null"
    wait_for(lambda: not browser.execute_script(busy), "the answers that the page waits for")


def leave(browser: Any) -> None:
    """Leave the page once it waits for nothing: it would complain of an answer, or a server, that is gone."""
    wait_until_idle(browser)
    browser.get("about:blank")


def sources(browser: Any, selector: str) -> list[str]:
    """Return addresses of the pictures in an element, all of them data URLs."""
    script = "return [...document.querySelectorAll(arguments[0] + ' img')].map((image) => image.src)"
    return browser.execute_script(script, selector)


def source(browser: Any, selector: str) -> str | None:
    return next(iter(sources(browser, selector)), None)


def decoded(address: str) -> np.ndarray:
    """Return int [H, W, 3] of a data URL or a file of the page."""
    with urllib.request.urlopen(address, timeout=30) as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB")).astype(int)


def pixels(browser: Any, selector: str = "#picture") -> np.ndarray:
    found = source(browser, selector)
    assert found is not None
    return decoded(found)


def canvas_pixels(browser: Any, painter: str = "#painter") -> np.ndarray:
    """Return int [H, W, 3] of the label canvas."""
    script = "return document.querySelector(arguments[0] + ' canvas').toDataURL('image/png')"
    return decoded(browser.execute_script(script, painter))


def canvas_map(browser: Any, painter: str = "#painter", labels: LabelSet = FIGURE_LABELS) -> np.ndarray:
    """Return the label map on the canvas; its colours must be the palette's, exactly."""
    return read_label_map(canvas_pixels(browser, painter).astype(np.uint8), labels, tolerance=0)


def same(shown: np.ndarray, expected: Any, atol: int = 1) -> None:
    """The page may run with another number of threads, which rounds differently."""
    np.testing.assert_allclose(shown, np.asarray(expected.image).astype(int), atol=atol)


def is_shown(browser: Any, selector: str) -> bool:
    return any(element.is_displayed() for element in browser.find_elements("css selector", selector))


def click(browser: Any, selector: str) -> None:
    element = wait_for(
        lambda: next((e for e in browser.find_elements("css selector", selector) if e.is_displayed()), None),
        selector,
    )
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def open_tab(browser: Any, name: str) -> None:
    button = wait_for(
        lambda: next(
            (e for e in browser.find_elements("css selector", "[role=tab]") if e.text == name), None
        ),
        f"the tab {name}",
    )
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()


def upload(browser: Any, path: Path, selector: str = "#map-sources") -> None:
    """Upload a file. The input stands in the button's row; it is the row's first, or that of the button's id."""
    fields = wait_for(
        lambda: browser.find_elements("css selector", f"{selector} input[type=file]") or None, "the button"
    )
    fields[0].send_keys(str(path))


def status(browser: Any, selector: str = "#status") -> str:
    found = browser.find_elements("css selector", f"{selector} p")
    return found[0].get_attribute("textContent") if found else ""


def message(browser: Any) -> str:
    """Return the sentence of the refusal that the page shows."""
    return wait_for(
        # Each text is read once: a toast that fades in or out between two reads has another.
        lambda: next(
            (
                text
                for toast in browser.find_elements("css selector", "[data-testid=toast-text]")
                if (text := toast.text.strip())
            ),
            None,
        ),
        "the message",
    )


def changed_by(
    browser: Any, action: Callable[[], None], selector: str = "#picture"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture before and after an action that changes it."""
    address = source(browser, selector)
    before = None if address is None else decoded(address)
    action()
    wait_for(lambda: source(browser, selector) not in (None, address), "another picture")
    return before, pixels(browser, selector)


def draw_seed(browser: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture before and after another seed is typed in and drawn."""
    field = browser.find_element("css selector", "#seed input")
    field.clear()
    field.send_keys(str(seed))
    return changed_by(browser, lambda: click(browser, "#sample"))


def candidates_of(browser: Any, class_id: int) -> list[np.ndarray]:
    """Return the four pictures, windows on the class, that a press on its redraw button brings."""
    before = sources(browser, "#candidates")
    click(browser, f"#painter [data-class='{class_id}'] [data-tool=redraw]")
    wait_for(lambda: len(sources(browser, "#candidates")) == 4, "four candidates")
    wait_for(lambda: sources(browser, "#candidates") != before, "new candidates")
    return [decoded(address) for address in sources(browser, "#candidates")]


def cut(pixels: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """Return what of [H, W, ...] lies in a window (left, top, right, bottom)."""
    left, top, right, bottom = window
    return pixels[top:bottom, left:right]


def keep(browser: Any) -> None:
    count = len(sources(browser, "#shelf"))
    click(browser, "#keep")
    wait_for(lambda: len(sources(browser, "#shelf")) == count + 1, "the look on the shelf")


def paint(browser: Any, *points: tuple[float, float], painter: str = "#painter") -> None:
    """Paint with the mouse through points of the map, given as fractions of its width and height."""
    from selenium.webdriver import ActionChains

    canvas = browser.find_element("css selector", f"{painter} canvas")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    wide, high = canvas.size["width"], canvas.size["height"]
    offsets = [(round((x - 0.5) * wide), round((y - 0.5) * high)) for x, y in points]
    chain = (
        ActionChains(browser, duration=20).move_to_element_with_offset(canvas, *offsets[0]).click_and_hold()
    )
    for x, y in offsets[1:]:
        chain = chain.move_to_element_with_offset(canvas, x, y)
    chain.release().perform()


def set_brush(browser: Any, pixels: int, painter: str = "#painter") -> None:
    """Move the slider of the brush's size."""
    script = """
        const slider = document.querySelector(arguments[0] + " .tools input[type=range]");
        slider.value = arguments[1];
        slider.dispatchEvent(new Event("input"));
        slider.dispatchEvent(new Event("change"));
    """
    browser.execute_script(script, painter, pixels)


def choose_class(browser: Any, class_id: int, painter: str = "#painter") -> None:
    click(browser, f"{painter} [data-class='{class_id}'] .class-name")


def choose_tool(browser: Any, name: str, painter: str = "#painter") -> None:
    selector = f"{painter} [data-tool={name}]"
    click(browser, selector)
    button = browser.find_element("css selector", selector)
    wait_for(lambda: button.get_attribute("aria-pressed") in ("true", None), f"the tool {name} to be taken")


def severe_entries(browser: Any) -> list[dict[str, Any]]:
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def png_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
