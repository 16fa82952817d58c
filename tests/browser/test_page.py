"""The page in a real browser: what a visitor clicks, checked by the pixels that come back."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.core.regions import class_window
from page.core.studio import OPENING_SEEDS
from PIL import Image

from groupdnet_hub import GroupDNetPipeline
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.labels import label_picture
from tests.browser.visitor import (
    TOP,
    candidates_of,
    canvas_map,
    changed_by,
    click,
    cut,
    draw_seed,
    keep,
    message,
    open_page,
    pixels,
    sources,
    status,
    upload,
    wait_for,
)

pytestmark = pytest.mark.browser


def test_sample_and_reroll(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    first, second = changed_by(browser, lambda: click(browser, "#examples button:nth-of-type(2)"))
    top = canvas_map(browser) == TOP
    assert 0.02 < top.mean() < 0.6
    assert np.abs(first - second).mean() > 1

    before, sampled = changed_by(browser, lambda: click(browser, "#new-sample"))
    assert np.abs(before - sampled)[top].mean() > 1

    candidates, window = candidates_of(browser, TOP), class_window(top)
    assert np.array_equal(pixels(browser), sampled)  # nothing is taken yet
    shown, region = cut(sampled, window), cut(top, window)
    inside = np.mean([np.abs(one - shown)[region].mean() for one in candidates])
    outside = np.mean([np.abs(one - shown)[~region].mean() for one in candidates])
    assert inside > 2
    assert inside > outside * 3
    for one, other in itertools.pairwise(candidates):
        assert np.abs(one - other)[region].mean() > 1

    _, picked = changed_by(browser, lambda: click(browser, "#candidates button:nth-of-type(3)"))
    assert np.array_equal(cut(picked, window), candidates[2])
    assert picked.shape == sampled.shape
    _, other = changed_by(browser, lambda: click(browser, "#candidates button:nth-of-type(1)"))
    assert np.array_equal(cut(other, window), candidates[0])
    _, earlier = changed_by(browser, lambda: click(browser, "#undo"))
    assert np.array_equal(earlier, sampled)  # trying candidates is one step
    _, later = changed_by(browser, lambda: click(browser, "#redo"))
    assert np.array_equal(later, other)
    _, oldest = changed_by(browser, lambda: click(browser, "#history button:nth-of-type(1)"))
    assert np.array_equal(oldest, first)
    assert len(browser.find_elements("css selector", "#history .pick")) == 4


def test_the_same_seed_draws_the_same_picture(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    seed = browser.find_element("css selector", "#seed input")
    first, opening = pixels(browser), seed.get_attribute("value")
    changed_by(browser, lambda: click(browser, "#new-sample"))
    wait_for(lambda: seed.get_attribute("value") != opening, "the seed of the new sample")
    wait_for(lambda: status(browser) == f"Drawn with seed {seed.get_attribute('value')}.", "the sentence")
    _, again = draw_seed(browser, int(opening))
    assert np.array_equal(again, first)


def test_keep_every_other_pixel(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    top = canvas_map(browser) == TOP
    window = class_window(top)
    before, top = cut(pixels(browser), window), cut(top, window)
    free = candidates_of(browser, TOP)
    assert any((one != before)[~top].any() for one in free)
    click(browser, "#keep-pixels input")
    for one in candidates_of(browser, TOP):
        assert np.array_equal(one[~top], before[~top])
        assert (one != before)[top].any()


def test_a_locked_class_keeps_its_code(browser: Any, page_address: str, model_folder: Path) -> None:
    open_page(browser, page_address)
    pipe = GroupDNetPipeline.from_pretrained(model_folder)
    seed = OPENING_SEEDS[0] + 1  # not the picture that is there already
    opened = pipe.sample(canvas_map(browser), seed=OPENING_SEEDS[0])
    np.testing.assert_allclose(pixels(browser), np.asarray(opened.image).astype(int), atol=1)
    click(browser, f"#painter [data-class='{TOP}'] [data-tool=lock]")
    wait_for(lambda: "top-clothes" in status(browser), "the lock")
    _, locked = draw_seed(browser, seed)
    others = [name for name in pipe.labels.names if name != "top-clothes"]
    expected = np.asarray(pipe.reroll(opened, others, seed=seed).image).astype(int)
    np.testing.assert_allclose(locked, expected, atol=1)
    redraw = browser.find_element("css selector", f"#painter [data-class='{TOP}'] [data-tool=redraw]")
    assert redraw.get_attribute("disabled")
    click(browser, f"#painter [data-class='{TOP}'] [data-tool=lock]")
    wait_for(lambda: status(browser) == "No class is locked.", "the lock's end")
    _, free = draw_seed(browser, seed)
    expected = np.asarray(pipe.sample(opened.mask, seed=seed).image).astype(int)
    np.testing.assert_allclose(free, expected, atol=1)


def test_a_kept_look_comes_back(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    kept = pixels(browser)
    keep(browser)
    changed_by(browser, lambda: click(browser, "#examples button:nth-of-type(4)"))
    _, back = changed_by(browser, lambda: click(browser, "#shelf button"))
    assert np.array_equal(back, kept)


@pytest.mark.parametrize("kind", ["photo", "cut off", "not a picture"])
def test_a_bad_upload_says_so_and_changes_nothing(
    browser: Any, page_address: str, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "holiday.png"
    if kind == "photo":
        photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(photo).save(path)
        expected = "is not in the palette"
    elif kind == "cut off":
        _, label = draw_figure(3, (256, 256))
        label_picture(label, FIGURE_LABELS).save(path)
        path.write_bytes(path.read_bytes()[:500])
        expected = "'holiday.png' is damaged or cut off"
    else:
        path.write_text("dear diary")
        expected = "'holiday.png' is not a picture that can be read"
    open_page(browser, page_address)
    before, map_before = pixels(browser), canvas_map(browser)
    upload(browser, path)
    text = message(browser)
    assert expected in text
    assert "\n" not in text.strip()
    assert "/" not in text
    assert np.array_equal(pixels(browser), before)
    assert np.array_equal(canvas_map(browser), map_before)


def test_an_uploaded_map_is_drawn(browser: Any, page_address: str, tmp_path: Path) -> None:
    open_page(browser, page_address)
    _, label = draw_figure(77, (256, 256), crop="upper")
    label_picture(label, FIGURE_LABELS).save(tmp_path / "mask.png")
    changed_by(browser, lambda: upload(browser, tmp_path / "mask.png"))
    shown = wait_for(lambda: (m := canvas_map(browser)).any() and m, "the map")
    height, width = shown.shape
    rows, columns = ((2 * np.arange(side) + 1) * 256 // (2 * side) for side in (height, width))
    assert np.array_equal(shown, label[rows][:, columns])


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_window_and_shows_the_picture_large(browser: Any, page_address: str, width: int) -> None:
    open_page(browser, page_address, width=width, height=844)
    wide, inner = browser.execute_script(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    )
    assert width - 20 <= inner <= width  # a scroll bar takes the rest
    assert wide <= inner
    image = browser.find_element("css selector", "#picture img")
    wait_for(lambda: image.size["width"] > 300, "a large picture")
    assert image.size["height"] == pytest.approx(image.size["width"], abs=1)
    assert image.get_attribute("alt") == "The picture drawn from the label map"
    unnamed = (
        "return [...document.querySelectorAll('button, a, input')].filter((e) => e.checkVisibility() && "
    )
    unnamed += (
        "!(e.textContent.trim() || e.title || e.ariaLabel || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert browser.execute_script(unnamed) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_layout_does_not_jump(browser: Any, page_address: str, width: int) -> None:
    open_page(browser, page_address, width=width, height=844)
    place = "return ['#new-sample', '#painter .viewport', '#tools'].map((id) => "
    place += "Math.round(document.querySelector(id).getBoundingClientRect().top + scrollY))"
    before = browser.execute_script(place)
    browser.execute_script(
        f"document.querySelector('#painter [data-class=\"{TOP}\"] [data-tool=redraw]').click()"
    )
    wait_for(lambda: len(sources(browser, "#candidates")) == 4, "four candidates")
    keep(browser)
    changed_by(browser, lambda: click(browser, "#new-sample"))
    assert browser.execute_script(place) == before


@pytest.mark.parametrize("page", ["", "evaluation", "evaluation-results"])
def test_nothing_is_fetched_from_elsewhere(browser: Any, page_address: str, page: str) -> None:
    open_page(browser, page_address)
    if page:
        browser.get(page_address + page)
        wait_for(lambda: browser.find_elements("css selector", "h1"), "the page")
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert fetched
    assert [name for name in fetched if not name.startswith((page_address, "data:", "blob:"))] == []
