"""Photos of more than 8 bits a value: read in their full range, or refused, and never black in silence."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub.io.images import read_photo
from tests.helpers.deep_pictures import chunk, write_deep_png
from tests.helpers.shared_data import shared_folder

RAMP = np.arange(256).repeat(4).reshape(256, 4).T
BITS_PER_SAMPLE, PHOTOMETRIC, MAX_SAMPLE, S_MAX_SAMPLE = 258, 262, 281, 341


def grey_of(source: Path | Image.Image) -> np.ndarray:
    pixels = np.asarray(read_photo(source))
    assert (pixels == pixels[:, :, :1]).all()
    return pixels[:, :, 0].astype(int)


def refused_as_dark(source: Path | Image.Image) -> str:
    with pytest.raises(ValueError, match="nearly black") as caught:
        read_photo(source)
    assert "white is 65535, or save the photo with 8 bits" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("name", "top"), [("grey_8bit_in_16", 255), ("grey_12bit_in_16", 4080)])
def test_reported_photos(name: str, top: int) -> None:
    message = refused_as_dark(shared_folder("cases") / f"{name}.png")
    assert f"reach only {top} of 65535" in message
    assert grey_of(shared_folder("cases") / "grey_8bit.png").max() == 255


@pytest.mark.parametrize("scale", [1, 2, 15, 16])
def test_few_bits_in_16_are_refused_where_nothing_tells_them(tmp_path: Path, scale: int) -> None:
    values = RAMP * scale
    refused_as_dark(write_deep_png(tmp_path / "grey.png", values))
    for channels in (2, 3, 4):
        colours = values[:, :, None].repeat(channels, 2)
        refused_as_dark(write_deep_png(tmp_path / f"{channels}.png", colours))
    picture = Image.fromarray(values.astype(np.uint16))
    picture.save(tmp_path / "grey.tif")
    refused_as_dark(tmp_path / "grey.tif")
    for given in (picture, Image.fromarray(values.astype(np.int32)), Image.open(tmp_path / "3.png")):
        refused_as_dark(given)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_significant_bits_of_a_png_are_those_that_count(tmp_path: Path, bits: int) -> None:
    full = np.arange(2**bits).reshape(-1, 4)
    expected = full >> (bits - 8)
    path = write_deep_png(tmp_path / "a.png", full, bits=bits)
    assert (grey_of(path) == expected).all()
    with Image.open(path) as picture:
        assert (grey_of(picture) == expected).all()
    # Most programs repeat or shift the bits up, as the standard asks for: nothing is to be scaled then.
    for spread in (full << (16 - bits), full << (16 - bits) | full >> (2 * bits - 16)):
        assert (grey_of(write_deep_png(tmp_path / "a.png", spread, bits=bits)) == expected).all()


def test_a_dark_photo_that_fills_16_bits_is_not_brightened(tmp_path: Path) -> None:
    dark = np.arange(4001).repeat(4).reshape(-1, 4)  # of 14 bits, up to a quarter of white
    for spread in (dark << 2, dark << 2 | dark >> 12):
        assert (grey_of(write_deep_png(tmp_path / "a.png", spread, bits=14)) == spread >> 8).all()


@pytest.mark.parametrize("bits", [12, 16])
def test_significant_bits_that_cannot_be_right_are_not_believed(tmp_path: Path, bits: int) -> None:
    assert f"of {2**bits - 1}" in refused_as_dark(write_deep_png(tmp_path / "a.png", RAMP, bits=bits))
    refused_as_dark(write_deep_png(tmp_path / "a.png", RAMP[:, :, None].repeat(3, 2), bits=bits))


@pytest.mark.parametrize("tag", [MAX_SAMPLE, S_MAX_SAMPLE])
def test_the_largest_value_of_a_tiffs_scale_counts(tmp_path: Path, tag: int) -> None:
    picture = Image.fromarray((RAMP * 16).astype(np.uint16))
    picture.save(tmp_path / "a.tif", tiffinfo={tag: 4095})
    assert (grey_of(tmp_path / "a.tif") == RAMP).all()
    picture.save(
        tmp_path / "a.tif", tiffinfo={tag: 4080}
    )  # the largest value of this photo, not of the scale
    refused_as_dark(tmp_path / "a.tif")
    picture.save(tmp_path / "a.tif", tiffinfo={tag: 65535})
    refused_as_dark(tmp_path / "a.tif")


def test_a_tiff_of_12_bits(tmp_path: Path) -> None:
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    pairs = ramp.reshape(-1, 2)
    packed = np.stack((pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255), 1)
    tags = [(256, 64), (257, 64), (BITS_PER_SAMPLE, 12), (259, 1), (PHOTOMETRIC, 1), (273, 200), (278, 64)]
    tags.append((279, packed.size))
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(tags))
    header = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    (tmp_path / "a.tif").write_bytes(header.ljust(200, b"\0") + packed.astype(np.uint8).tobytes())
    assert (grey_of(tmp_path / "a.tif") == ramp >> 4).all()


def write_colour_tiff(path: Path, values: np.ndarray, planes: bool) -> Path:
    """Write RGB values [H, W, 3] of 16 bits, interleaved or each colour by itself."""
    height, width, _ = values.shape
    parts = [channel.astype("<u2").tobytes() for channel in values.transpose(2, 0, 1)]
    parts = parts if planes else [values.astype("<u2").tobytes()]
    offsets, lengths = [400 + i * len(parts[0]) for i in range(len(parts))], [len(part) for part in parts]
    short, long = 3, 4
    tags = [
        (256, short, [width]),
        (257, short, [height]),
        (BITS_PER_SAMPLE, short, [16] * 3),
        (259, short, [1]),
    ]
    tags += [(PHOTOMETRIC, short, [2]), (273, long, offsets), (277, short, [3]), (278, short, [height])]
    tags += [(279, long, lengths), (284, short, [2 if planes else 1])]
    entries, behind = b"", b""
    for tag, kind, numbers in tags:
        packed = struct.pack(f"<{len(numbers)}{'H' if kind == short else 'I'}", *numbers)
        if len(packed) > 4:
            packed, behind = struct.pack("<I", 200 + len(behind)), behind + packed
        entries += struct.pack("<HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    header = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes((header.ljust(200, b"\0") + behind).ljust(400, b"\0") + b"".join(parts))
    return path


def test_colour_tiffs_of_16_bits(tmp_path: Path) -> None:
    colours = RAMP[:, :, None].repeat(3, 2)
    assert (grey_of(write_colour_tiff(tmp_path / "a.tif", colours * 257, planes=False)) == RAMP).all()
    refused_as_dark(write_colour_tiff(tmp_path / "a.tif", colours * 16, planes=False))
    with pytest.raises(
        ValueError, match=r"the photo 'a.tif' stores each of its 16-bit colours by itself: save"
    ):
        read_photo(write_colour_tiff(tmp_path / "a.tif", colours * 257, planes=True))  # Pillow misreads it


def test_a_deep_tiff_whose_0_is_white(tmp_path: Path) -> None:
    picture = Image.fromarray((RAMP * 257).astype(np.uint16))
    picture.save(tmp_path / "a.tif")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    count = struct.unpack_from("<H", content, 8)[0]
    for at in range(10, 10 + 12 * count, 12):
        if struct.unpack_from("<H", content, at)[0] == PHOTOMETRIC:
            struct.pack_into("<H", content, at + 8, 0)
    (tmp_path / "b.tif").write_bytes(content)
    assert (grey_of(tmp_path / "a.tif") == RAMP).all()
    assert (grey_of(tmp_path / "b.tif") == 255 - RAMP).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_true_photos_of_16_bits(tmp_path: Path, channels: int) -> None:
    values = (RAMP * 257)[:, :, None].repeat(channels, 2)
    if channels in (2, 4):
        values[:, :, -1] = 65535
    assert (grey_of(write_deep_png(tmp_path / "a.png", values)) == RAMP).all()
    # Dark ones are read as they are while anything in them reaches a sixteenth of white.
    dark = np.where(np.arange(channels) % 4 == 3, 65535, np.minimum(values, 4096))
    assert grey_of(write_deep_png(tmp_path / "a.png", dark)).max() >= 16


def test_a_black_photo_is_black(tmp_path: Path) -> None:
    assert not grey_of(write_deep_png(tmp_path / "a.png", np.zeros((4, 4), int))).any()


def test_a_transparent_value_of_16_bits_is_laid_on_white(tmp_path: Path) -> None:
    values = RAMP * 257
    path = write_deep_png(tmp_path / "a.png", values, extra=chunk(b"tRNS", struct.pack(">H", 257)))
    assert (grey_of(path) == np.where(RAMP == 1, 255, RAMP)).all()
    colours = values[:, :, None].repeat(3, 2)
    path = write_deep_png(tmp_path / "b.png", colours, extra=chunk(b"tRNS", struct.pack(">HHH", *[257] * 3)))
    assert (grey_of(path) == np.where(RAMP == 1, 255, RAMP)).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_fewer_than_8_bits_are_scaled_by_the_format(tmp_path: Path, bits: int) -> None:
    values = (np.arange(2**bits, dtype=np.uint8)[None] * (255 // (2**bits - 1))).repeat(2, 0)
    Image.fromarray(values).convert("1" if bits == 1 else "L").save(tmp_path / "a.png", bits=bits)
    assert (grey_of(tmp_path / "a.png") == values).all()
