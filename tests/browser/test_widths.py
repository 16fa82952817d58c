"""Upright pictures and sixteen classes at each width of a window: all at hand, nothing in the way of anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.core.regions import class_window

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.labels import label_picture
from tests.browser.conftest import serve
from tests.browser.visitor import (
    candidates_of,
    canvas_map,
    changed_by,
    click,
    cut,
    leave,
    message,
    open_page,
    open_tab,
    paint,
    pixels,
    source,
    sources,
    status,
    wait_for,
)
from tests.helpers.page_models import MORE_LABELS

pytestmark = pytest.mark.browser

WINDOWS = ((390, 844), (768, 1024), (1010, 800), (1180, 800), (1280, 900), (1440, 900))
TABS = ("Mix", "Morph", "Photo", "Map files")
HAT, SCARF, SHOES, OUTERWEAR = map(MORE_LABELS.id_of, ("hat", "scarf", "shoes", "outerwear"))
# What is wrong with the controls that are seen: their size, their place, their names. gradio's own slider and what
# stands in its footer are left to it.
FAULTS = """
const faults = [], page = document.documentElement;
if (page.scrollWidth > page.clientWidth) faults.push(`the page is ${page.scrollWidth} wide`);
const seen = (box, e) => {  // what scrolls in a box of its own is seen in part
  for (let up = e.parentElement; up; up = up.parentElement)
    if (up.matches(".strip, .board-scroll, .palette, .viewport, #morph-classes .wrap")) {
      const by = up.getBoundingClientRect();
      box = {left: Math.max(box.left, by.left), right: Math.min(box.right, by.right),
             top: Math.max(box.top, by.top), bottom: Math.min(box.bottom, by.bottom)};
    }
  return box;
};
const named = (e) => (e.id && "#" + e.id) || e.title || e.ariaLabel || (e.labels?.[0] ?? e).textContent.trim();
const boxes = [];
for (const e of document.querySelectorAll("main :is(button, a, summary, input, select)")) {
  if (!e.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
  if (e.closest("footer") || e.closest("#morph-position") || e.type === "file") continue;
  if (e.closest(".pinned")) continue;  // the page is scrolled out from beneath it
  if (e.matches("[aria-hidden=true], .visually-hidden *, [role=tab]")) continue;
  const whole = (e.closest("[role=combobox]")?.closest(".wrap") ?? e.labels?.[0] ?? e).getBoundingClientRect();
  if (!whole.width || !whole.height) continue;
  if (whole.width < 24 || whole.height < 24) faults.push(`${named(e)} is ${whole.width}x${whole.height}`);
  const box = seen(whole, e);
  if (box.right - box.left < 2 || box.bottom - box.top < 2) continue;
  if (box.left < 0 || box.right > page.clientWidth) faults.push(`${named(e)} is cut off`);
  for (const [other, its] of boxes) {
    if (other.contains(e) || e.contains(other) || (other.labels?.[0] ?? 1) === (e.labels?.[0] ?? 2)) continue;
    const across = Math.min(box.right, its.right) - Math.max(box.left, its.left);
    const down = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
    if (across > 1 && down > 1) faults.push(`${named(e)} lies over ${named(other)}`);
  }
  boxes.push([e, box]);
}
for (const e of document.querySelectorAll("#painter .class-name span")) {
  if (e.scrollWidth > e.clientWidth || e.offsetHeight > 30) faults.push(`the name ${e.textContent} breaks`);
}
return faults;
"""


def resize(browser: Any, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wait_for(lambda: browser.execute_script("return innerWidth") == width, "the window's width")


def box(browser: Any, selector: str) -> dict[str, float]:
    script = "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()"
    browser.execute_script("scrollTo(0, 0)")
    return browser.execute_script(script, selector)


def redraw(browser: Any, class_id: int) -> None:
    click(browser, f"#painter [data-class='{class_id}'] [data-tool=redraw]")


@pytest.mark.slow
def test_all_is_at_hand_at_every_width(browser: Any, upright_address: str) -> None:
    open_page(browser, upright_address)
    candidates_of(browser, OUTERWEAR)
    for width, height in WINDOWS:
        resize(browser, width, height)
        for tab in TABS:
            open_tab(browser, tab)
            assert browser.execute_script(FAULTS) == [], f"at {width}, {tab}"
        picture, canvas = box(browser, "#picture img"), box(browser, "#painter .viewport")
        for one in (picture, canvas):
            assert one["height"] == pytest.approx(2 * one["width"], rel=0.02)
        cells = [cell.rect for cell in browser.find_elements("css selector", "#candidates button")]
        assert all(cell["x"] >= picture["right"] and cell["width"] > 80 for cell in cells)
        assert cells[-1]["y"] + cells[-1]["height"] == pytest.approx(picture["bottom"], abs=3)
        if width < 600:
            continue
        # Beside each other, of one size, and seen whole without scrolling.
        assert canvas["left"] >= picture["right"]
        assert canvas["top"] == pytest.approx(picture["top"], abs=3)
        assert canvas["width"] == pytest.approx(picture["width"], abs=2)
        assert picture["width"] >= 256
        assert picture["bottom"] <= height


@pytest.mark.parametrize("window", [WINDOWS[0], (1280, 900)])
def test_a_class_that_the_map_lacks_is_painted_with_one_press(
    browser: Any, upright_address: str, window: tuple[int, int]
) -> None:
    open_page(browser, upright_address, *window)
    label = canvas_map(browser, labels=MORE_LABELS)
    listed = (
        "return [...document.querySelectorAll(`#painter .${arguments[0]} > *`)].map((e) => +e.dataset.class)"
    )
    here = list(np.unique(label))
    assert browser.execute_script(listed, "rows") == here
    assert browser.execute_script(listed, "chips") == [one for one in range(16) if one not in here]
    assert not browser.find_element(
        "css selector", f"[data-class='{SCARF}'] [data-tool=redraw]"
    ).is_displayed()
    click(browser, f"#painter [data-class='{SCARF}'] .class-name")
    changed_by(browser, lambda: paint(browser, (0.3, 0.5), (0.7, 0.5)))
    assert browser.execute_script(listed, "rows") == sorted([*here, SCARF])
    painted = canvas_map(browser, labels=MORE_LABELS)
    assert (painted[painted != label] == SCARF).all()
    # It has all that the others have: four pictures of what was painted.
    window_on_it = class_window(painted == SCARF)
    for one in candidates_of(browser, SCARF):
        left, top, right, bottom = window_on_it
        assert one.shape == (bottom - top, right - left, 3)
        assert one.size < painted.size
    changed_by(browser, lambda: click(browser, "#undo"))
    wait_for(lambda: browser.execute_script(listed, "rows") == here, "the classes as they were")


def test_candidates_are_windows_on_the_class(
    browser: Any, upright_address: str, upright_folder: Path
) -> None:
    """Of the picture's own pixels, the same for all four; the whole picture where the class is nearly everywhere."""
    open_page(browser, upright_address)
    changed_by(browser, lambda: click(browser, "#examples button:nth-of-type(2)"))
    label = read_label_map(upright_folder / "maps" / "example_02.png", MORE_LABELS)
    window = class_window(label == SHOES)
    left, top, right, bottom = window
    assert (label[top:bottom, left:right] == SHOES).sum() == (label == SHOES).sum()
    assert (right - left) * (bottom - top) < label.size / 4
    before = pixels(browser)
    drawn = candidates_of(browser, SHOES)
    elsewhere = ~cut(label == SHOES, window)
    for one in drawn:
        assert np.abs(one - cut(before, window))[elsewhere].mean() < 4
    cell = browser.find_element("css selector", "#candidates img").size
    assert cell["width"] >= 2 * (right - left)
    for place, one in enumerate(drawn[:2], start=1):
        _, picked = changed_by(
            browser, lambda n=place: click(browser, f"#candidates button:nth-of-type({n})")
        )
        assert picked.shape == (*label.shape, 3)
        assert np.array_equal(cut(picked, window), one)
    assert candidates_of(browser, 0)[0].shape == (*label.shape, 3)


def test_a_fixed_class_says_so(browser: Any, upright_address: str) -> None:
    from gradio_client import Client

    client = Client(upright_address, verbose=False, analytics_enabled=False)
    told = "hat has only one appearance in this model: redrawing it changes nothing."
    assert client.predict("hat", 1, False, api_name="/candidates") == ([], told)
    assert client.predict("hat", 1, False, api_name="/reroll")[1] == told
    assert client.predict("hair", 1, False, api_name="/reroll")[1] == "Redrew hair."
    open_page(browser, upright_address)
    button = browser.find_element("css selector", f"#painter [data-class='{HAT}'] [data-tool=redraw]")
    assert button.get_attribute("title") == "hat has only one appearance in this model"
    other = browser.find_element("css selector", f"#painter [data-class='{OUTERWEAR}'] [data-tool=redraw]")
    assert other.get_attribute("title") == "Redraw outerwear"
    candidates_of(browser, OUTERWEAR)
    redraw(browser, HAT)
    wait_for(lambda: status(browser) == told, "the sentence")
    assert message(browser) == told
    wait_for(lambda: not sources(browser, "#candidates"), "no candidates")


@pytest.mark.parametrize("width", [1001, 1100, 1279])
def test_a_square_picture_between_the_usual_widths(browser: Any, page_address: str, width: int) -> None:
    open_page(browser, page_address, width, 800)
    check_stage(browser)


@pytest.mark.slow
def test_182_classes_at_every_width(browser: Any, tmp_path: Path) -> None:
    """As many as COCO-Stuff has, and names as long as its."""
    long = ("structural-other", "furniture-other", "baseball glove", "window-blind")
    labels = LabelSet.from_names((*long, *(f"thing {number}" for number in range(178))))
    GroupDNet(GroupDNetConfig.for_labels(labels, (64, 64), width=4)).save_pretrained(tmp_path / "model")
    (tmp_path / "maps").mkdir()
    labels.to_file(tmp_path / "maps" / "classes.json")
    ids = np.arange(64 * 64).reshape(64, 64) // 16 % 182
    label_picture(ids, labels).save(tmp_path / "maps" / "example_01.png")
    with serve(tmp_path / "model", tmp_path / "maps", tmp_path) as (address, _):
        open_page(browser, address)
        for width, height in (*WINDOWS, (1100, 800), (1279, 800)):
            resize(browser, width, height)
            check_stage(browser)
        leave(browser)


def check_stage(browser: Any) -> None:
    """Check that nothing is squeezed."""
    assert browser.execute_script(FAULTS) == []
    assert box(browser, "#painter .viewport")["width"] >= 256
    names = "return [...document.querySelectorAll('#painter .class-name')].map((e) => e.offsetWidth)"
    assert min(width for width in browser.execute_script(names) if width) > 60


def test_the_evaluation_at_every_width(browser: Any, upright_address: str) -> None:
    browser.get(f"{upright_address}evaluation")
    wait_for(lambda: source(browser, "#question-b"), "a question")
    for width, height in WINDOWS:
        resize(browser, width, height)
        assert browser.execute_script(FAULTS) == [], f"at {width}"
        pictures = [box(browser, f"#question-{one} img") for one in ("a", "b")]
        for one in pictures:
            assert one["height"] == pytest.approx(2 * one["width"], rel=0.02)
            assert one["width"] > 150
        assert pictures[0]["top"] == pictures[1]["top"]
        assert pictures[1]["bottom"] <= height
        if width > 600:
            assert box(browser, "#answer-first")["bottom"] <= height
