"""Mixing, morphing and films in a real browser, checked against what the pipeline draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.core.studio import OPENING_SEEDS
from PIL import Image

from groupdnet_hub import GroupDNetPipeline
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from tests.browser.visitor import (
    canvas_map,
    changed_by,
    click,
    draw_seed,
    keep,
    message,
    open_page,
    open_tab,
    pixels,
    same,
    source,
    sources,
    status,
    wait_for,
    wait_until_idle,
)

pytestmark = pytest.mark.browser


def choose(browser: Any, class_name: str, look: str) -> None:
    click(browser, f"#board input[title='{class_name} of {look}']")


def test_one_press_mixes_three_sources(
    browser: Any, page_address: str, pipe: GroupDNetPipeline, examples: Path
) -> None:
    open_page(browser, page_address)
    first = pipe.sample(canvas_map(browser), seed=OPENING_SEEDS[0])
    keep(browser)
    _, other = draw_seed(browser, 5)
    second = pipe.sample(first.mask, seed=5)
    same(other, second)
    wait_for(lambda: len(sources(browser, "#board")) == 10, "the current look, the shelf and eight examples")
    choose(browser, "top-clothes", "look 1")
    choose(browser, "hair", "example 2")
    choose(browser, "face", "example 3")
    _, mixed = changed_by(browser, lambda: click(browser, "#mix"))
    others = [pipe.sample(examples / f"example_{n:02}.png", seed=OPENING_SEEDS[n - 1]) for n in (2, 3)]
    taken = {"top-clothes": first, "hair": others[0], "face": others[1]}
    same(mixed, pipe.mix(first.mask, taken, base=second))
    wait_for(lambda: status(browser).startswith("Mixed: current, with "), "the sentence")


def test_the_base_gives_the_map_and_classes_it_lacks_cannot_be_chosen(
    browser: Any, page_address: str, pipe: GroupDNetPipeline, examples: Path
) -> None:
    open_page(browser, page_address)
    first = pipe.sample(canvas_map(browser), seed=OPENING_SEEDS[0])
    click(browser, "#board input[title='Label map of example 4']")
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#board tbody tr')].map((row) => row.dataset.class)"
    )
    assert {"shoes", "socks"} <= set(rows)
    assert "bottom-clothes" not in rows
    assert not browser.find_elements("css selector", "#board input[title='shoes of current']")
    click(browser, "#board button[title='Take everything from current']")
    _, mixed = changed_by(browser, lambda: click(browser, "#mix"))
    base = pipe.sample(examples / "example_04.png", seed=OPENING_SEEDS[3])
    shared = [name for name in base.classes if name in first.classes]
    same(mixed, pipe.mix(base.mask, dict.fromkeys(shared, first), base=base))
    assert np.array_equal(canvas_map(browser), base.mask)


def test_mixing_nothing_is_refused(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before = pixels(browser)
    wait_for(lambda: sources(browser, "#board"), "the board")
    click(browser, "#mix")
    assert "Nothing is taken from another look" in message(browser)
    assert np.array_equal(pixels(browser), before)


def set_position(browser: Any, t: float) -> None:
    from selenium.webdriver import Keys

    wait_until_idle(browser)  # an answer that is on its way would put the field back
    field = browser.find_element("css selector", "#morph-position input[type=number]")
    field.click()
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(str(t), Keys.TAB)


def downloaded(browser: Any, folder: Path, kind: str) -> Path:
    """Return the film that the page offers, as the browser saves it."""
    wait_for(lambda: kind in browser.find_element("css selector", "#film").text, f"the {kind}")
    behaviour = {"behavior": "allow", "downloadPath": str(folder)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    click(browser, "#film")
    path = folder / f"morph.{kind.lower()}"
    wait_for(lambda: path.is_file() and not list(folder.glob("*.crdownload")), "the download")
    return path


@pytest.mark.slow
def test_morph_slider_and_films(
    browser: Any, page_address: str, pipe: GroupDNetPipeline, tmp_path: Path, examples: Path
) -> None:
    open_page(browser, page_address)
    first = pipe.sample(canvas_map(browser), seed=OPENING_SEEDS[0])
    second = pipe.sample(examples / "example_02.png", seed=OPENING_SEEDS[1])
    open_tab(browser, "Morph")
    wait_for(lambda: source(browser, "#morph-picture"), "the look between")
    same(pixels(browser, "#morph-picture"), pipe.between(first, second, 0.5))
    for t in (1.5, -0.5, 1.0):
        changed_by(browser, lambda t=t: set_position(browser, t), "#morph-picture")
        expected = np.asarray(pipe.between(first, second, t).image).astype(int)
        wait_for(
            lambda e=expected: np.abs(pixels(browser, "#morph-picture") - e).max() <= 1, f"the look at {t}"
        )
    # Only the hair.
    for name in FIGURE_LABELS.names:
        if name != "hair":
            click(browser, f"#morph-classes input[name='{name}']")
    expected = np.asarray(pipe.between(first, second, 1.0, ["hair"]).image).astype(int)
    wait_for(lambda: np.abs(pixels(browser, "#morph-picture") - expected).max() <= 1, "hair alone")
    _, used = changed_by(browser, lambda: click(browser, "#morph-use"))
    assert np.abs(used - expected).max() <= 1

    click(browser, "#undo")
    wait_for(lambda: np.abs(pixels(browser) - np.asarray(first.image)).max() <= 1, "the picture before")
    click(browser, "#film-make")
    gif = Image.open(downloaded(browser, tmp_path, "GIF"))
    assert (gif.format, gif.n_frames, gif.size) == ("GIF", 40, first.image.size)
    gif.seek(20)  # there; then back
    last = np.asarray(gif.convert("RGB")).astype(int)
    assert np.abs(last - expected).mean() < 4  # 256 colours
    click(browser, "#film-format input[value=MP4]")
    click(browser, "#film-whole input")
    click(browser, "#film-make")
    import av

    with av.open(str(downloaded(browser, tmp_path, "MP4"))) as film:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
    assert len(frames) == 80
    start = np.asarray(pipe.between(first, second, -0.5, ["hair"]).image).astype(int)
    assert np.abs(frames[0] - start).mean() < 6  # colour is stored at half the size
