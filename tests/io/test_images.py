"""Opening pictures: what is read and how, and the messages of refused files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from groupdnet_hub.io.images import MAX_PIXELS, open_picture, photo_to_tensor, read_photo, tensor_to_picture

ORIENTATION = 0x0112
SUFFIXES = ("png", "jpg", "webp", "bmp", "tif", "gif")


def noise(height: int = 24, width: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png_header(path: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes whose header claims ``width`` x ``height`` RGB pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def refusal(source: object, **arguments: object) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - each caller checks the words
        open_picture(source, **arguments)  # type: ignore[arg-type]
    return str(error.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_read_and_still_says_what_it_was(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    noise().save(path)
    picture = open_picture(path)
    assert picture.size == (40, 24)
    assert picture.format is not None
    assert picture.format[:3] == {"jpg": "JPE", "tif": "TIF", "webp": "WEB"}.get(suffix, suffix.upper())
    path.unlink()  # nothing is left to read
    assert np.asarray(picture.convert("RGB")).shape == (24, 40, 3)
    assert open_picture(str(png_like(tmp_path))).size == (40, 24)


def png_like(folder: Path) -> Path:
    """A PNG under a name that says otherwise: the content counts."""
    noise().save(folder / "picture.dat", format="PNG")
    return folder / "picture.dat"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_truncated_files_are_refused_by_name_without_their_folder(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    noise().save(path)
    whole = path.read_bytes()
    for length in (0, 3, 5, 30, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:length])
        message = refusal(path)
        assert f"'cut.{suffix}'" in message
        assert str(tmp_path) not in message


def test_corrupt_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.png"
    noise().save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)
    assert "damaged" in refusal(path)


def test_a_truncated_picture_that_the_caller_opened_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    noise().save(path)
    path.write_bytes(path.read_bytes()[:800])
    with Image.open(path) as picture:
        assert "damaged or cut off" in refusal(picture)


@pytest.mark.parametrize("side", [5000, 12000, 30000])
def test_a_bomb_is_refused_from_its_header(
    tmp_path: Path, side: int, recwarn: pytest.WarningsRecorder
) -> None:
    message = refusal(png_header(tmp_path / "bomb.png", side, side), what="mask")
    assert message.startswith(f"the mask 'bomb.png' is {side}x{side} (height x width)")
    assert str(MAX_PIXELS) in message
    assert not recwarn


def test_the_limit_is_ours_and_not_pillows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise().save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert open_picture(tmp_path / "a.png").size == (40, 24)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert "4097x4096" in refusal(png_header(tmp_path / "b.png", 4096, 4097))


@pytest.mark.parametrize("text", ['<svg xmlns="http://www.w3.org/2000/svg"/>', "not a picture", "%PDF-1.7"])
def test_svg_and_text_are_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "drawing.png").write_text(text)
    message = refusal(tmp_path / "drawing.png", what="mask")
    assert message == "the mask 'drawing.png' is not a picture that can be read: save it as PNG"


def test_an_empty_file_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "map.png").touch()
    with pytest.raises(ValueError, match=r"the mask 'map.png' is empty: save or download it again"):
        open_picture(tmp_path / "map.png", what="mask")


def test_other_raster_formats_are_refused(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.ppm")
    assert "use PNG" in refusal(tmp_path / "a.ppm")


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    message = refusal(tmp_path / "none.png")
    assert message == "the picture 'none.png' does not exist"
    assert "is a folder" in refusal(tmp_path)
    assert len(refusal("<svg>" * 1000)) < 200
    assert "does not exist" in refusal("a\0b")
    assert "type int" in refusal(3)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_animations_and_pages_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"many.{suffix}"
    noise().save(path, save_all=True, append_images=[noise().rotate(180)])
    assert "animation" in refusal(path)
    with Image.open(path) as picture:
        assert "animation" in refusal(picture)


def test_a_picture_whose_file_is_closed_is_read(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as picture:
        picture.load()
    assert read_photo(picture).size == (40, 24)


def test_a_phones_jpeg_with_a_second_picture_is_a_photo(tmp_path: Path) -> None:
    noise().save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[noise(8, 8)])
    with Image.open(tmp_path / "phone.jpg") as picture:
        assert picture.format == "MPO"
    assert read_photo(tmp_path / "phone.jpg").size == (40, 24)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_photos_are_turned_upright(tmp_path: Path, suffix: str) -> None:
    picture = Image.new("RGB", (40, 24), (0, 0, 255))
    picture.paste((255, 0, 0), (0, 0, 8, 24))  # red on the left
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be shown turned clockwise: red on top
    picture.save(tmp_path / f"a.{suffix}", exif=exif)
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert photo.size == (24, 40)
    red, _, blue = (channel.astype(int) for channel in np.asarray(photo).transpose(2, 0, 1))
    assert (red - blue)[:6].min() > 100
    assert (red - blue)[10:].max() < -100
    if suffix != "tif":
        assert open_picture(tmp_path / f"a.{suffix}").size == (40, 24)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 100, (100, 100, 100)),
        ("1", 1, (255, 255, 255)),
        ("RGBA", (200, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (200, 0, 0, 255), (200, 0, 0)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("LA", (0, 0), (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("I;16", 0x8000, (128, 128, 128)),
        ("I", 65535, (255, 255, 255)),
    ],
)
def test_modes_become_rgb(mode: str, colour: object, expected: tuple[int, int, int]) -> None:
    photo = read_photo(Image.new(mode, (3, 2), colour))  # type: ignore[arg-type]
    assert photo.mode == "RGB"
    assert (np.asarray(photo) == expected).all()


def test_palette_files(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1), 0)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "opaque.png")
    assert np.asarray(read_photo(tmp_path / "opaque.png")).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    picture.save(tmp_path / "clear.png", transparency=0)
    assert np.asarray(read_photo(tmp_path / "clear.png")).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_cmyk_jpeg_and_16_bit_png_files(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
    assert np.abs(np.asarray(read_photo(tmp_path / "print.jpg")).astype(int) - (255, 0, 0)).max() < 12
    Image.fromarray(np.full((4, 4), 0x4000, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert (np.asarray(read_photo(tmp_path / "deep.png")) == 0x40).all()


def test_photos_that_cannot_be_rgb_are_refused() -> None:
    with pytest.raises(ValueError, match="mode F"):
        read_photo(Image.new("F", (2, 2), 0.5))
    with pytest.raises(ValueError, match=r"200000.*16 bit"):
        read_photo(Image.new("I", (2, 2), 200000))


def test_arrays() -> None:
    pixels = np.asarray(noise())
    assert (np.asarray(read_photo(pixels)) == pixels).all()
    assert (np.asarray(read_photo(pixels[:, ::-1])) == pixels[:, ::-1]).all()
    with pytest.raises(ValueError, match=r"the face is an array float32 \(4, 4, 3\).*uint8.*255 \* array"):
        read_photo(np.zeros((4, 4, 3), dtype=np.float32), what="face")
    for shape in ((4, 4), (4, 4, 4), (3, 4, 4), (1, 4, 4, 3)):
        with pytest.raises(ValueError, match="uint8"):
            read_photo(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(ValueError, match="empty"):
        read_photo(np.zeros((0, 4, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="at most"):
        read_photo(np.broadcast_to(np.zeros(3, dtype=np.uint8), (5000, 5000, 3)))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_photo_and_tensor_round_trip(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = photo_to_tensor(Image.fromarray(pixels))
    assert image.shape == (3, height, width)
    assert image.dtype == torch.float32
    assert (np.asarray(tensor_to_picture(image)) == pixels).all()


def test_the_range_of_tensors() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    image = photo_to_tensor(Image.fromarray(ramp))
    assert image.min() == -1
    assert image.max() == 1
    assert (np.asarray(tensor_to_picture(image)) == ramp).all()
    assert (np.asarray(tensor_to_picture(image.to(torch.float64))) == ramp).all()


def test_tensors_are_rounded_and_clamped() -> None:
    image = torch.tensor([-7.0, 7.0, 0.7 / 127.5 - 1]).expand(3, 1, 3).clone().requires_grad_()
    assert np.asarray(tensor_to_picture(image))[0, :, 0].tolist() == [0, 255, 1]
    for shape in ((1, 3, 4, 4), (4, 4, 3), (1, 4, 4)):
        with pytest.raises(ValueError, match=r"\[3, H, W\]"):
            tensor_to_picture(torch.zeros(shape))


def test_resizing_takes_height_first_and_smooths() -> None:
    assert photo_to_tensor(noise(24, 40), (12, 10)).shape == (3, 12, 10)
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = photo_to_tensor(Image.fromarray(stripes), (8, 8))
    assert small[:, :, 2:-2].abs().max() < 0.1  # nearest or unsmoothed sampling would give -1 or 1


def test_palette_pictures_are_resized_by_colour() -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([255, 0, 0, 0, 255, 0, 255, 0, 0])
    picture.paste(2, (0, 0, 2, 4))  # indices 0 and 2 are both red; 1, between them, is green
    assert (photo_to_tensor(picture, (2, 2))[1] == -1).all()
