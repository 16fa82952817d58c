"""The tab "Photo" in a real browser: photos, their frames and maps, checked against what the pipeline draws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.core import photos
from page.core.example_maps import example_map
from page.core.photo_reading.parser import BUNDLED, PhotoParser
from page.core.session import Session
from page.core.studio import OPENING_SEEDS
from PIL import Image

from groupdnet_hub import GroupDNetPipeline
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.labels import label_picture
from groupdnet_hub.data.person_frames import Box
from groupdnet_hub.io.images import read_photo
from tests.browser.conftest import serve
from tests.browser.visitor import (
    HAIR,
    TOP,
    canvas_map,
    changed_by,
    click,
    leave,
    message,
    open_page,
    open_tab,
    paint,
    pixels,
    same,
    source,
    sources,
    status,
    upload,
    wait_for,
    wait_until_idle,
)
from tests.helpers.shared_data import shared_folder

pytestmark = pytest.mark.browser


def photo_and_map(folder: Path) -> tuple[Path, Path]:
    photo, label = draw_figure(5, (256, 256), crop="upper")
    photo.save(folder / "photo.png")
    label_picture(label, FIGURE_LABELS).save(folder / "map.png")
    return folder / "photo.png", folder / "map.png"


def test_a_photo_and_its_map_become_a_look(
    browser: Any, page_address: str, pipe: GroupDNetPipeline, tmp_path: Path
) -> None:
    photo, label = photo_and_map(tmp_path)
    open_page(browser, page_address)
    open_tab(browser, "Photo")
    inputs = wait_for(
        lambda: (
            (found := browser.find_elements("css selector", "#photo-sources input[type=file]"))
            and len(found) == 2
            and found
        ),
        "the buttons",
    )
    inputs[0].send_keys(str(photo))
    wait_for(lambda: "Now its label map" in status(browser, "#photo-status"), "the photo")
    assert source(browser, "#photo-painter .sheet").startswith("data:")
    inputs[1].send_keys(str(label))
    wait_for(lambda: canvas_map(browser, "#photo-painter").any(), "the photo's map")
    before = canvas_map(browser, "#photo-painter")
    click(browser, f"#photo-painter [data-class='{HAIR}'] .class-name")
    paint(browser, (0.1, 0.1), painter="#photo-painter")  # a correction
    corrected = canvas_map(browser, "#photo-painter")
    assert (corrected != before).any()
    click(browser, "#photo-keep")
    wait_for(lambda: len(sources(browser, "#shelf")) == 1, "the look on the shelf")
    wait_for(lambda: "photo 1" in status(browser, "#photo-status"), "the sentence")
    _, back = changed_by(browser, lambda: click(browser, "#shelf button"))
    same(back, encoded(pipe, photo, corrected))
    assert (corrected == TOP).any()
    click(browser, "#photo-plain input")
    click(browser, "#photo-keep")
    wait_for(lambda: len(sources(browser, "#shelf")) == 2, "the look on the shelf")
    _, back = changed_by(browser, lambda: click(browser, "#shelf .item:nth-of-type(2) .pick"))
    same(back, pipe.encode(photo, corrected))


def encoded(
    pipe: GroupDNetPipeline, photo: Path | Image.Image, label: np.ndarray, box: Box | None = None
) -> Any:
    """Return the look that the page takes from a photo: of the person, cut out."""
    put = photos.put_photo(pipe, Session(), photo, box)
    return photos.encode(pipe, put, label, True).shelf[0].look


@pytest.mark.parametrize("width", [1280, 390])
def test_a_picture_of_the_model_itself_can_be_tried_as_a_photo(
    browser: Any, page_address: str, pipe: GroupDNetPipeline, examples: Path, width: int
) -> None:
    open_page(browser, page_address, width=width, height=844)
    open_tab(browser, "Photo")
    wait_for(lambda: len(sources(browser, "#photo-examples")) == photos.OFFERED, "pictures to try")
    example = pipe.sample(examples / "example_03.png", seed=OPENING_SEEDS[2])
    click(browser, "#photo-examples button:nth-of-type(2)")
    wait_for(lambda: np.array_equal(canvas_map(browser, "#photo-painter"), example.mask), "its map")
    wait_for(lambda: "Picture 2" in status(browser, "#photo-status"), "the sentence")
    under = pixels(browser, "#photo-painter .sheet")
    assert np.abs(under - np.asarray(example.image)).max() <= 1
    click(browser, "#photo-keep")
    wait_for(lambda: len(sources(browser, "#shelf")) == 1, "the look on the shelf")
    _, back = changed_by(browser, lambda: click(browser, "#shelf button"))
    same(back, encoded(pipe, example.image, example.mask), atol=3)
    wide, inner = browser.execute_script(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    )
    assert wide <= inner


def test_a_look_without_a_photo_is_refused(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    open_tab(browser, "Photo")
    click(browser, "#photo-keep")
    assert "There is no photo yet" in message(browser)


def test_a_bad_photo_is_refused(browser: Any, page_address: str, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8\xff" + b"x" * 200)
    open_page(browser, page_address)
    open_tab(browser, "Photo")
    upload(browser, tmp_path / "holiday.jpg", "#photo-sources")
    text = message(browser)
    assert "'holiday.jpg'" in text
    assert "/" not in text


@pytest.fixture(scope="module")
def parsing_page(
    model_folder: Path, examples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Serve a page with the bundled parser."""
    pytest.importorskip("timm", reason="the bundled parser needs timm")
    with serve(model_folder, examples, tmp_path_factory.mktemp("page"), GROUPDNET_PARSER="") as (address, _):
        yield address


@pytest.fixture(scope="module")
def person() -> Image.Image:
    """Someone whom the bundled model drew, at the edge of a wide photo."""
    bundled = GroupDNetPipeline.from_pretrained(BUNDLED.parent / "model")
    map_ = example_map(BUNDLED.parent / "examples" / "example_02.png", bundled.labels, (256, 256))
    picture = bundled.sample(map_, seed=7).image
    photo = Image.new("RGB", (600, 300), (228, 228, 228))
    photo.paste(picture, (330, 30))
    return photo


@pytest.mark.slow
def test_a_photo_without_a_map_is_framed_and_parsed(
    browser: Any, parsing_page: str, pipe: GroupDNetPipeline, tmp_path: Path, person: Image.Image
) -> None:
    person.save(tmp_path / "photo.png")
    parsed = PhotoParser(str(BUNDLED)).parse(person, FIGURE_LABELS, pipe.model.config.image_size)
    assert parsed.box.left > 250
    open_page(browser, parsing_page)
    open_tab(browser, "Photo")
    upload(browser, tmp_path / "photo.png", "#photo-sources")
    wait_for(lambda: status(browser, "#photo-status").startswith("Parsed."), "the parse")
    wait_for(lambda: np.array_equal(canvas_map(browser, "#photo-painter"), parsed.label), "the parsed map")
    click(browser, f"#photo-painter [data-class='{HAIR}'] .class-name")
    paint(browser, (0.9, 0.1), (0.95, 0.2), painter="#photo-painter")
    corrected = canvas_map(browser, "#photo-painter")
    assert (corrected != parsed.label).any()
    click(browser, "#photo-keep")
    wait_for(lambda: len(sources(browser, "#shelf")) == 1, "the look on the shelf")
    _, back = changed_by(browser, lambda: click(browser, "#shelf button"))
    same(back, encoded(pipe, person, corrected, parsed.box))
    leave(browser)


@pytest.mark.slow
def test_another_frame_is_parsed_anew(
    browser: Any, parsing_page: str, tmp_path: Path, person: Image.Image
) -> None:
    from selenium.webdriver import ActionChains

    person.save(tmp_path / "photo.png")
    open_page(browser, parsing_page)
    open_tab(browser, "Photo")
    upload(browser, tmp_path / "photo.png", "#photo-sources")
    wait_for(lambda: status(browser, "#photo-status").startswith("Parsed."), "the parse")
    wait_until_idle(browser)
    found = canvas_map(browser, "#photo-painter")
    photo = browser.find_element("css selector", "#photo-frame img")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", photo)
    # A press beside the frame moves it there, where nobody is.
    aside = -photo.size["width"] // 3
    ActionChains(browser, duration=20).move_to_element_with_offset(photo, aside, 0).click().perform()
    wait_for(lambda: "No person was found" in status(browser, "#photo-status"), "the sentence")
    wait_for(lambda: not canvas_map(browser, "#photo-painter").any(), "the empty map")
    wait_until_idle(browser)
    click(browser, ".crop-choices button:nth-of-type(1)")
    wait_for(lambda: status(browser, "#photo-status").startswith("Parsed anew"), "the parse")
    wait_for(lambda: (canvas_map(browser, "#photo-painter") == found).mean() > 0.97, "the map")
    leave(browser)


@pytest.mark.slow
def test_a_photo_without_a_person_is_told_so_and_can_be_painted(
    browser: Any, parsing_page: str, pipe: GroupDNetPipeline, tmp_path: Path, person: Image.Image
) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8))
    noise.save(tmp_path / "noise.png")
    person.save(tmp_path / "photo.png")
    open_page(browser, parsing_page)
    open_tab(browser, "Photo")
    upload(browser, tmp_path / "photo.png", "#photo-sources")
    wait_for(lambda: canvas_map(browser, "#photo-painter").any(), "the map of the photo before")
    upload(browser, tmp_path / "noise.png", "#photo-sources")
    wait_for(lambda: "No person was found in this photo" in status(browser, "#photo-status"), "the sentence")
    wait_for(lambda: "paint it over the photo" in status(browser, "#photo-status"), "the sentence")
    assert not canvas_map(browser, "#photo-painter").any(), "the map of the photo before is gone"
    click(browser, "#photo-keep")
    assert "The map is empty" in message(browser)
    click(browser, f"#photo-painter [data-class='{TOP}'] .class-name")
    paint(browser, (0.3, 0.5), (0.7, 0.5), painter="#photo-painter")
    label = canvas_map(browser, "#photo-painter")
    click(browser, "#photo-keep")
    wait_for(lambda: len(sources(browser, "#shelf")) == 1, "the look on the shelf")
    _, back = changed_by(browser, lambda: click(browser, "#shelf button"))
    same(back, encoded(pipe, noise, label))
    leave(browser)


@pytest.mark.slow
def test_programs_parse_and_encode_the_same_part_of_a_photo(
    parsing_page: str, pipe: GroupDNetPipeline, tmp_path: Path, person: Image.Image
) -> None:
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    person.save(tmp_path / "photo.png")
    Image.new("RGB", (200, 300), (200, 180, 150)).save(tmp_path / "wall.png")
    parsed = PhotoParser(str(BUNDLED)).parse(person, FIGURE_LABELS, pipe.model.config.image_size)
    client = Client(parsing_page, verbose=False, download_files=str(tmp_path), analytics_enabled=False)
    photo = handle_file(tmp_path / "photo.png")
    label, told = client.predict(photo, api_name="/parse")
    assert np.array_equal(read_label_map(label, FIGURE_LABELS), parsed.label)
    assert f"from {parsed.box.left}, {parsed.box.top} on" in told
    for cut in (False, True):
        picture, _ = client.predict(photo, handle_file(label), cut, api_name="/encode")
        put = photos.put_photo(pipe, Session(), person, parsed.box)
        expected = photos.encode(pipe, put, parsed.label, cut).shelf[0].look
        same(np.asarray(Image.open(picture).convert("RGB")).astype(int), expected)
    # Another part, as a program chooses it, for both.
    box = Box(parsed.box.left + 40, parsed.box.top + 20, 160, 160)
    expected_map = PhotoParser(str(BUNDLED)).parse(person, FIGURE_LABELS, pipe.model.config.image_size, box)
    label, told = client.predict(photo, list(box), api_name="/parse")
    assert np.array_equal(read_label_map(label, FIGURE_LABELS), expected_map.label)
    assert f"160x160 pixels (width x height) from {box.left}, {box.top} on" in told
    picture, _ = client.predict(photo, handle_file(label), True, list(box), api_name="/encode")
    expected = photos.encode(pipe, photos.put_photo(pipe, Session(), person, box), expected_map.label, True)
    same(np.asarray(Image.open(picture).convert("RGB")).astype(int), expected.shelf[0].look)
    for wrong, found in (
        ([0, 0, 10, 50], "so it must be 10x10"),
        ([9000, 0, 9, 9], "shows nothing of"),
        ("a", "must be"),
    ):
        with pytest.raises(AppError, match=found):
            client.predict(photo, wrong, api_name="/parse")
    with pytest.raises(AppError, match="No person was found in this photo: nothing in it looks like one"):
        client.predict(handle_file(tmp_path / "wall.png"), api_name="/parse")


@pytest.mark.slow
def test_a_street_photo_is_parsed_by_the_bundled_parser(
    browser: Any, parsing_page: str, pipe: GroupDNetPipeline
) -> None:
    photo = sorted((shared_folder("data/ccp8") / "validation" / "images").iterdir())[0].resolve()
    size = pipe.model.config.image_size
    expected = PhotoParser(str(BUNDLED)).parse(read_photo(photo), FIGURE_LABELS, size).label
    assert len(np.unique(expected)) > 4
    open_page(browser, parsing_page)
    open_tab(browser, "Photo")
    upload(browser, photo, "#photo-sources")
    wait_for(lambda: np.array_equal(canvas_map(browser, "#photo-painter"), expected), "the parsed map")
    click(browser, "#photo-keep")
    wait_for(lambda: len(sources(browser, "#shelf")) == 1, "the look on the shelf")
    leave(browser)
