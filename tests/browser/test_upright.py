"""The page with a model of sixteen classes and pictures twice as high as wide: nothing is square, nothing distorted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.core.regions import class_window
from page.core.studio import OPENING_SEEDS
from PIL import Image

from groupdnet_hub import GroupDNetPipeline
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.labels import label_picture
from tests.browser.conftest import UPRIGHT_SIZE
from tests.browser.visitor import (
    candidates_of,
    canvas_map,
    canvas_pixels,
    changed_by,
    click,
    cut,
    open_page,
    open_tab,
    paint,
    pixels,
    source,
    sources,
    status,
    upload,
    wait_for,
)
from tests.helpers.page_models import MORE_LABELS

pytestmark = pytest.mark.browser

HEIGHT, WIDTH = UPRIGHT_SIZE
OUTERWEAR, SCARF = MORE_LABELS.id_of("outerwear"), MORE_LABELS.id_of("scarf")


@pytest.fixture(scope="module")
def folder(upright_folder: Path) -> Path:
    return upright_folder


@pytest.fixture(scope="module")
def address(upright_address: str) -> str:
    return upright_address


@pytest.fixture(scope="module")
def pipe(folder: Path) -> GroupDNetPipeline:
    return GroupDNetPipeline.from_pretrained(folder / "model")


def same(shown: np.ndarray, expected: Any) -> None:
    np.testing.assert_allclose(shown, np.asarray(expected.image).astype(int), atol=1)


def shape_on_page(browser: Any, selector: str) -> float:
    """Height over width."""
    script = "const box = document.querySelector(arguments[0]).getBoundingClientRect(); return box.height / box.width"
    return browser.execute_script(script, selector)


@pytest.mark.parametrize("width", [1280, 390])
def test_it_samples_redraws_and_paints(
    browser: Any, address: str, pipe: GroupDNetPipeline, folder: Path, width: int
) -> None:
    open_page(browser, address, width=width, height=844)
    label = canvas_map(browser, labels=MORE_LABELS)
    assert np.array_equal(label, read_label_map(folder / "maps" / "example_01.png", MORE_LABELS))
    opened = pipe.sample(label, seed=OPENING_SEEDS[0])
    same(pixels(browser), opened)
    for selector in ("#picture img", "#painter canvas", "#painter .viewport", "#examples img"):
        assert shape_on_page(browser, selector) == pytest.approx(2, rel=0.02)
    wide, inner = browser.execute_script(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    )
    assert wide <= inner

    window = class_window(label == OUTERWEAR)
    before, region = cut(pixels(browser), window), cut(label == OUTERWEAR, window)
    for redrawn in candidates_of(browser, OUTERWEAR):
        change = np.abs(redrawn - before).mean(axis=2)
        assert change[region].mean() > 10 * change[~region].mean()
    _, picked = changed_by(browser, lambda: click(browser, "#candidates button:nth-of-type(2)"))
    changed_by(browser, lambda: click(browser, "#undo"))

    browser.execute_script(f"document.querySelector('#painter [data-class=\"{SCARF}\"] .class-name').click()")
    changed_by(browser, lambda: paint(browser, (0.2, 0.3), (0.8, 0.3)))
    painted = canvas_map(browser, labels=MORE_LABELS)
    rows, columns = np.nonzero(painted != label)
    assert set(np.unique(painted[painted != label])) == {SCARF}
    assert rows.mean() / HEIGHT == pytest.approx(0.3, abs=0.02)
    assert columns.min() / WIDTH < 0.2 < 0.8 < columns.max() / WIDTH
    wait_for(lambda: "New on the map: scarf." in status(browser), "the sentence")
    same(pixels(browser), pipe.edit(opened, painted))
    changed_by(browser, lambda: click(browser, "#new-sample"))
    assert pixels(browser).shape == picked.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.slow
def test_it_mixes_and_makes_films(
    browser: Any, address: str, pipe: GroupDNetPipeline, folder: Path, tmp_path: Path
) -> None:
    from gradio_client import Client

    first, second = (
        pipe.sample(folder / "maps" / f"example_{number:02}.png", seed=OPENING_SEEDS[number - 1])
        for number in (1, 4)
    )
    open_page(browser, address)
    click(browser, "#board input[title='outerwear of example 4']")
    _, mixed = changed_by(browser, lambda: click(browser, "#mix"))
    same(mixed, pipe.mix(first.mask, {"outerwear": second}, base=first))
    client = Client(address, verbose=False, download_files=str(tmp_path), analytics_enabled=False)
    film = Image.open(client.predict("current", "example 4", None, "gif", False, api_name="/film"))
    assert film.size == (WIDTH, HEIGHT)


@pytest.mark.slow
def test_a_photo_comes_with_its_map_where_there_is_no_parser(
    browser: Any, address: str, pipe: GroupDNetPipeline, folder: Path, tmp_path: Path
) -> None:
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    map_ = folder / "maps" / "example_02.png"
    pipe.sample(map_, seed=3).image.resize((300, 600)).save(tmp_path / "photo.png")
    large = read_label_map(map_, MORE_LABELS).repeat(2, 0).repeat(2, 1)
    label_picture(large, MORE_LABELS).save(tmp_path / "map.png")
    client = Client(address, verbose=False, download_files=str(tmp_path), analytics_enabled=False)
    with pytest.raises(AppError, match="No parser is configured"):
        client.predict(handle_file(tmp_path / "photo.png"), api_name="/parse")
    open_page(browser, address)
    open_tab(browser, "Photo")
    upload(browser, tmp_path / "photo.png", "#photo-sources")
    wait_for(lambda: "Now its label map" in status(browser, "#photo-status"), "the photo")
    assert shape_on_page(browser, "#photo-painter .sheet img") == pytest.approx(2, rel=0.02)
    browser.find_elements("css selector", "#photo-sources input[type=file]")[1].send_keys(
        str(tmp_path / "map.png")
    )
    wait_for(lambda: canvas_pixels(browser, "#photo-painter").any(), "the photo's map")
    click(browser, "#photo-plain input")  # as it is, with what is behind the person
    click(browser, "#photo-keep")
    wait_for(lambda: len(sources(browser, "#shelf")) == 1, "the look on the shelf")
    _, back = changed_by(browser, lambda: click(browser, "#shelf button"))
    same(back, pipe.encode(tmp_path / "photo.png", map_))


def test_the_evaluation_asks_about_upright_pictures(browser: Any, address: str) -> None:
    browser.get(f"{address}evaluation")
    for selector in ("#question-map", "#question-a", "#question-b"):
        wait_for(lambda selector=selector: source(browser, selector), "a question")
        assert pixels(browser, selector).shape == (HEIGHT, WIDTH, 3)
        assert shape_on_page(browser, f"{selector} img") == pytest.approx(2, rel=0.02)
