"""Files and canvases that are not what they should be: one plain sentence each, and nothing changes."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.ui.painter import read_canvas
from PIL import Image

from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.labels import colour_picture, label_picture
from tests.browser.visitor import message, open_page, paint, pixels, png_url, severe_entries

pytestmark = pytest.mark.browser

NOISE = np.random.default_rng(0)


def label_map() -> np.ndarray:
    return np.asarray(draw_figure(3, (256, 256))[1])


def good(path: Path) -> None:
    label_picture(label_map(), FIGURE_LABELS).save(path)


def corrupt(path: Path) -> None:
    good(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    good(path)
    path.write_bytes(path.read_bytes()[:500])


def drawing(path: Path) -> None:
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>')


def words(path: Path) -> None:
    path.write_text("dear diary")


def huge(path: Path) -> None:
    Image.new("P", (12000, 12000)).save(path)


def bomb(path: Path) -> None:
    """Return a PNG of a few bytes that says it is 60000 x 60000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(10_000_000), 9)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def animated(path: Path) -> None:
    frames = [Image.new("P", (64, 64), n) for n in range(3)]
    frames[0].save(path, "PNG", save_all=True, append_images=frames[1:])


def sixteen_bit(path: Path) -> None:
    Image.fromarray(label_map().astype(np.uint16) * 8000).save(path)


def other_palette(path: Path) -> None:
    Image.fromarray(np.full((64, 64, 3), (1, 99, 201), np.uint8)).save(path)


def other_proportions(path: Path) -> None:
    label_picture(label_map()[:, :200], FIGURE_LABELS).save(path)


def no_bytes(path: Path) -> None:
    path.write_bytes(b"")


def printed(path: Path) -> None:
    colour_picture(label_map(), FIGURE_LABELS).convert("CMYK").save(path, "TIFF")


BAD_MAPS: dict[Callable[[Path], None], str] = {
    corrupt: "is damaged or cut off",
    cut_off: "is damaged or cut off",
    drawing: "is not a picture that can be read",
    words: "is not a picture that can be read",
    huge: "is 12000x12000 (height x width); at most",
    bomb: "is 60000x60000 (height x width); at most",
    animated: "is an animation",
    sixteen_bit: "class id",
    other_palette: "is not in the palette",
    other_proportions: "has other proportions",
    no_bytes: "is empty",
    printed: "is in mode CMYK",
}


@pytest.fixture(scope="module")
def client(page_address: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    gradio_client = pytest.importorskip("gradio_client", reason="the endpoints need gradio")
    folder = str(tmp_path_factory.mktemp("answers"))
    return gradio_client.Client(page_address, verbose=False, download_files=folder, analytics_enabled=False)


def refusal(client: Any, *arguments: Any, api_name: str) -> str:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as refused:
        client.predict(*arguments, api_name=api_name)
    text = refused.value.message.strip("\"'")  # gradio sends the sentence in quotes
    assert "/" not in text.replace("width / height", ""), text
    assert "\n" not in text.strip()
    assert text[0].isupper()
    return text


@pytest.mark.parametrize(("write", "expected"), BAD_MAPS.items(), ids=[f.__name__ for f in BAD_MAPS])
def test_a_bad_label_map_is_refused_and_nothing_changes(
    client: Any, tmp_path: Path, write: Callable[[Path], None], expected: str
) -> None:
    from gradio_client import handle_file

    write(tmp_path / "upload.png")
    before = client.predict(api_name="/looks")
    picture = client.predict(1, api_name="/sample")[0]
    file = handle_file(tmp_path / "upload.png")
    assert expected in refusal(client, file, 0, api_name="/open_map")
    assert expected in refusal(client, file, api_name="/edit")
    assert client.predict(api_name="/looks") == before
    client.predict(2, api_name="/sample")
    again = client.predict(api_name="/undo")[0]
    assert np.array_equal(np.asarray(Image.open(again)), np.asarray(Image.open(picture)))


@pytest.mark.parametrize(
    "write", [corrupt, cut_off, drawing, huge, bomb, animated, no_bytes], ids=lambda f: f.__name__
)
def test_a_bad_photo_is_refused(client: Any, tmp_path: Path, write: Callable[[Path], None]) -> None:
    from gradio_client import handle_file

    write(tmp_path / "holiday.png")
    good(tmp_path / "map.png")
    arguments = handle_file(tmp_path / "holiday.png"), handle_file(tmp_path / "map.png")
    assert "'holiday.png'" in refusal(client, *arguments, api_name="/encode")
    assert "photo 1" not in client.predict(api_name="/looks")


def test_unusual_but_good_files_are_read(page_address: str, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    visitor = Client(page_address, verbose=False, download_files=str(tmp_path), analytics_enabled=False)
    Image.new("L", (64, 64), 4).save(tmp_path / "one-class.png")
    Image.fromarray(label_map().astype(np.uint16)).save(tmp_path / "16-bit.png")
    colour_picture(label_map(), FIGURE_LABELS).convert("RGBA").save(tmp_path / "alpha.png")
    for name in ("one-class", "16-bit", "alpha"):
        answer = visitor.predict(handle_file(tmp_path / f"{name}.png"), 0, api_name="/open_map")
        assert answer[1] == "Drawn with seed 0."

    good(tmp_path / "map.png")
    photo = Image.fromarray(NOISE.integers(0, 256, (256, 256, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    photo.rotate(90).save(tmp_path / "turned.png", exif=exif)
    photo.convert("CMYK").save(tmp_path / "cmyk.tif")
    photo.convert("RGBA").save(tmp_path / "alpha-photo.png")
    photo.save(tmp_path / "plain.png")
    looks = {
        name: np.asarray(
            Image.open(
                visitor.predict(
                    handle_file(tmp_path / name), handle_file(tmp_path / "map.png"), api_name="/encode"
                )[0]
            )
        ).astype(int)
        for name in ("plain.png", "turned.png", "cmyk.tif", "alpha-photo.png")
    }
    assert np.array_equal(looks["turned.png"], looks["plain.png"])
    assert np.array_equal(looks["alpha-photo.png"], looks["plain.png"])
    assert np.abs(looks["cmyk.tif"] - looks["plain.png"]).mean() < 8


def test_a_file_that_is_too_large_is_refused(browser: Any, page_address: str, tmp_path: Path) -> None:
    (tmp_path / "film.png").write_bytes(bytes(43_000_000))
    open_page(browser, page_address)
    before = pixels(browser)
    browser.find_element("css selector", "#map-sources input[type=file]").send_keys(
        str(tmp_path / "film.png")
    )
    text = message(browser)
    assert "40" in text
    assert "/" not in text
    assert np.array_equal(pixels(browser), before)
    # The browser notes the refusal by itself.
    assert all("413" in entry["message"] for entry in severe_entries(browser))


def test_a_canvas_that_sends_no_png_is_refused(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    before = pixels(browser)
    browser.execute_script("HTMLCanvasElement.prototype.toDataURL = () => 'data:image/jpeg;base64,/9j/4AAQ'")
    paint(browser, (0.1, 0.1), (0.2, 0.1))
    assert message(browser) == "The canvas sent no PNG: reload the page."
    assert np.array_equal(pixels(browser), before)


def test_what_a_canvas_may_send() -> None:
    label = label_map()[::4, ::4]
    url = png_url(colour_picture(label, FIGURE_LABELS))
    assert np.array_equal(read_canvas(url, FIGURE_LABELS, (64, 64)), label)
    buffer = io.BytesIO()
    colour_picture(label, FIGURE_LABELS).save(buffer, "GIF")
    prefix = "data:image/png;base64,"
    for value, expected in (
        (None, "no PNG"),
        ({"a": 1}, "no PNG"),
        ("http://localhost/a.png", "no PNG"),
        (prefix + "####", "cannot be read"),
        (prefix + base64.b64encode(b"dear diary").decode(), "cannot be read"),
        (prefix + base64.b64encode(buffer.getvalue()).decode(), "cannot be read"),
        (url[:-200], "cannot be read"),
        (prefix + "A" * 1_000_000, "more than a map"),
        (png_url(Image.new("RGB", (64, 32))), "a map of 32x64; this model's are 64x64"),
        (png_url(Image.new("RGB", (64, 64), (1, 99, 201))), "is not in the palette"),
    ):
        with pytest.raises(ValueError, match=expected):
            read_canvas(value, FIGURE_LABELS, (64, 64))
