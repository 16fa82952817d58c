"""The tab "Photo": the whole photo with a frame to move, its label map over it, and the picture drawn of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.labels import colour_picture, label_picture
from tests.browser.visitor import (
    HAIR,
    canvas_pixels,
    changed_by,
    click,
    decoded,
    open_page,
    open_tab,
    paint,
    pixels,
    source,
    sources,
    status,
    upload,
    wait_for,
    wait_until_idle,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def portrait(folder: Path) -> tuple[Path, Path]:
    """Save someone from head to foot in the colours of their label map, in a high photo, and the map."""
    label = np.zeros((360, 240), np.int64)
    person = np.asarray(draw_figure(4, (256, 256))[1])
    rows, columns = (np.flatnonzero(person.any(axis=axis)) for axis in (1, 0))
    person = person[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    label[20 : 20 + len(person), 60 : 60 + person.shape[1]] = person
    colour_picture(label, FIGURE_LABELS).save(folder / "photo.png")
    label_picture(label, FIGURE_LABELS).save(folder / "map.png")
    return folder / "photo.png", folder / "map.png"


def fits(browser: Any) -> bool:
    """Return whether the framed photo, which is in the colours of its map, lies under its map."""
    under, canvas = pixels(browser, "#photo-painter .sheet"), canvas_pixels(browser, "#photo-painter")
    return bool((np.abs(under - canvas).max(axis=2) < 30).mean() > 0.9)


def drag(browser: Any, element: Any, x: int, y: int, kind: str = "mouse") -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    chain = ActionChains(browser, duration=20, devices=[PointerInput(kind, kind)])
    chain.click_and_hold(element).move_by_offset(x, y).release().perform()


def frame_of(browser: Any) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the frame on the page, as seen from the photo."""
    return browser.execute_script(
        "const [frame, photo] = ['.frame', 'img'].map((one) =>"
        " document.querySelector('#photo-frame ' + one).getBoundingClientRect());"
        "return [frame.left - photo.left, frame.top - photo.top, frame.width, frame.height].map(Math.round)"
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_the_frame_is_moved_by_keys_mouse_and_touch_and_the_map_goes_with_it(
    browser: Any, page_address: str, tmp_path: Path, width: int
) -> None:
    from selenium.webdriver.common.keys import Keys

    photo, label = portrait(tmp_path)
    open_page(browser, page_address, width=width)
    open_tab(browser, "Photo")
    upload(browser, photo, "#photo-sources")
    wait_for(lambda: "Now its label map" in status(browser, "#photo-status"), "the photo")
    left, top, wide, high = frame_of(browser)
    assert left < 0, "all of the photo is in the frame"
    assert abs(top) <= 1
    assert abs(wide - high) <= 1
    fields = browser.find_elements("css selector", "#photo-sources input[type=file]")
    fields[1].send_keys(str(label))
    wait_for(lambda: status(browser, "#photo-status").startswith("The photo's map is here"), "its map")
    wait_for(lambda: fits(browser), "the map on the photo")
    wait_until_idle(browser)
    around = frame_of(browser)
    assert around != [left, top, wide, high], "the person of the map is framed"

    frame = browser.find_element("css selector", "#photo-frame .frame")
    corner = frame.find_element("css selector", ".se")
    stage = browser.find_element("css selector", "#photo-frame .crop-stage")
    moves = [
        lambda: frame.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.SHIFT, Keys.ARROW_DOWN),
        lambda: frame.send_keys("--"),
        lambda: drag(browser, corner, -14, -14),
        lambda: drag(browser, frame, -10, 8),
        lambda: drag(browser, frame, 12, -6, "touch"),
        lambda: drag(browser, stage, 0, 1),
        lambda: click(browser, ".crop-choices button:nth-of-type(2)"),
    ]
    for number, move in enumerate(moves):
        before, shown = source(browser, "#photo-painter .sheet"), frame_of(browser)
        move()
        wait_for(lambda: source(browser, "#photo-painter .sheet") != before, f"what move {number} frames")  # noqa: B023
        wait_for(lambda: fits(browser), f"the map after move {number}")
        assert frame_of(browser) != shown
        assert abs(frame_of(browser)[2] - frame_of(browser)[3]) <= 1, "it keeps its proportions"
        wait_until_idle(browser)
    told = "Framed anew, and its map with it."
    wait_for(lambda: status(browser, "#photo-status") == told, "the sentence")


def test_photo_map_and_picture_are_seen_together(browser: Any, page_address: str, tmp_path: Path) -> None:
    """And the picture follows what is painted, as it would be put on the shelf."""
    from selenium.webdriver.common.keys import Keys

    photo, label = portrait(tmp_path)
    open_page(browser, page_address)
    open_tab(browser, "Photo")
    upload(browser, photo, "#photo-sources")
    wait_for(lambda: "Now its label map" in status(browser, "#photo-status"), "the photo")
    assert "appears once the map shows something" in browser.find_element(
        "css selector", ".comparison figcaption"
    ).get_attribute("textContent")
    browser.find_elements("css selector", "#photo-sources input[type=file]")[1].send_keys(str(label))
    wait_for(lambda: len(browser.find_elements("css selector", ".comparison img[src]")) == 2, "the picture")
    wait_until_idle(browser)
    drawn = source(browser, ".comparison")
    click(browser, f"#photo-painter [data-class='{HAIR}'] .class-name")
    paint(browser, (0.4, 0.5), (0.6, 0.5), painter="#photo-painter")
    wait_for(lambda: source(browser, ".comparison") != drawn, "the picture of the painted map")
    wait_until_idle(browser)
    drawn = decoded(source(browser, ".comparison") or "")
    click(browser, "#photo-keep")
    wait_for(lambda: len(sources(browser, "#shelf")) == 1, "the look on the shelf")
    _, back = changed_by(browser, lambda: click(browser, "#shelf button"))
    assert np.array_equal(back, drawn)

    clip = "return getComputedStyle(document.querySelector('.comparison .over')).clipPath"
    half = browser.execute_script(clip)
    browser.find_element("css selector", ".seam-tools input").send_keys(Keys.HOME)
    assert browser.execute_script(clip) != half
    cover = "return getComputedStyle(document.querySelector('#photo-painter canvas')).opacity"
    assert browser.execute_script(cover) == "0.6"
    browser.find_element("css selector", "#photo-opacity input").send_keys(Keys.END)
    assert browser.execute_script(cover) == "1"
    tops = (
        "return ['.crop-stage', '#photo-painter .viewport', '.comparison'].map((one) => Math.round("
        "document.querySelector(one).getBoundingClientRect().top))"
    )
    assert max(browser.execute_script(tops)) - min(browser.execute_script(tops)) <= 2


@pytest.mark.parametrize("ending", ["heic", "avif"])
def test_a_photo_of_a_phone_is_shown_as_it_was_decoded(
    browser: Any, page_address: str, tmp_path: Path, ending: str
) -> None:
    path, photo = tmp_path / f"photo.{ending}", Image.new("RGB", (300, 200), (40, 90, 200))
    if ending == "heic":
        pytest.importorskip("pillow_heif").from_pillow(photo).save(path)
    elif not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    else:
        photo.save(path, "AVIF")
    open_page(browser, page_address)
    open_tab(browser, "Photo")
    upload(browser, path, "#photo-sources")
    wait_for(lambda: "Now its label map" in status(browser, "#photo-status"), "the photo")
    assert source(browser, "#photo-frame").startswith("data:image/webp")
    assert pixels(browser, "#photo-frame").shape == (200, 300, 3)
    assert np.abs(pixels(browser, "#photo-frame") - (40, 90, 200)).max() < 12
