"""Label maps as programs save them: indexed, in three channels, with lossy compression."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub.data.label_maps import read_instance_map, read_label_map, read_partial_label_map
from groupdnet_hub.data.labels import LabelSet, colour_picture, label_picture
from tests.helpers.label_examples import IDS, LABELS, numbered
from tests.helpers.shared_data import shared_folder

GREYS = LabelSet(("a", "b", "c", "d"), ((0, 0, 0), (85, 85, 85), (170, 170, 170), (255, 255, 255)))
BIG = np.kron(IDS, np.ones((16, 16), dtype=int))


# -- the shared cases -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "truth"),
    [("map_indexed.png", "map_rgb.png"), ("map.gif", "map_rgb.png"), ("small_own.gif", "small_own.png"),
     ("small_own_oxipng.png", "small_own.png"), ("small_rgb_optipng.png", "small_rgb.png")],
)  # fmt: skip
def test_indexed_copies_hold_the_same_classes(name: str, truth: str) -> None:
    folder, labels = shared_folder("cases"), fashion8()
    expected = read_label_map(folder / truth, labels)
    assert len(np.unique(expected)) > 3
    assert np.array_equal(read_label_map(folder / name, labels), expected)


def test_ids_in_three_channels_of_the_shared_cases() -> None:
    path = shared_folder("cases") / "ids_in_rgb.png"
    assert np.array_equal(read_label_map(path, fashion8()), np.asarray(Image.open(path))[:, :, 0])


def test_an_index_beyond_the_palette_is_refused_with_its_count() -> None:
    path = shared_folder("cases") / "id_beyond_palette.png"
    count = int((np.asarray(Image.open(path)) == 13).sum())
    with pytest.raises(ValueError, match=rf"value 13 is not a class id: {count} pixels"):
        read_label_map(path, fashion8())


def test_jpeg_in_a_tiff_is_refused_and_deflate_is_not() -> None:
    folder, labels = shared_folder("cases"), fashion8()
    assert len(np.unique(read_label_map(folder / "ids_deflate_tiff.tif", labels))) == 6
    for read in (lambda path: read_label_map(path, labels), read_instance_map):
        with pytest.raises(ValueError, match=r"TIFF with JPEG compression.*smears ids.*PNG"):
            read(folder / "ids_jpeg_tiff.tif")


def fashion8() -> LabelSet:
    return LabelSet.from_file(shared_folder("data/fashion8") / "classes.json")


# -- indexed colour ----------------------------------------------------------------------------------------------------


def indexed(indices: np.ndarray, palette: list[tuple[int, int, int]]) -> Image.Image:
    """Return a palette picture as a file holds it."""
    picture = Image.fromarray(indices.astype(np.uint8))
    picture.putpalette([value for colour in palette for value in colour])
    file = io.BytesIO()
    picture.save(file, "PNG", bits=8)
    return Image.open(file)


def test_colours_of_classes_decide_in_any_order_of_a_palette(caplog: pytest.LogCaptureFixture) -> None:
    order = np.array([2, 0, 3, 1])
    picture = indexed(np.argsort(order)[IDS], [LABELS.palette[i] for i in order])
    assert np.array_equal(read_label_map(picture, LABELS), IDS)
    assert "as class colours of its palette or as palette indices, and the two differ" in caplog.text


def test_what_agrees_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    for source in (
        label_picture(IDS, LABELS),
        colour_picture(IDS, LABELS),
        IDS,
        indexed(IDS, list(GREYS.palette)),
    ):
        assert np.array_equal(read_label_map(source, LABELS), IDS)
    assert not caplog.text


def test_unused_entries_and_near_colours_of_a_palette() -> None:
    near = [tuple(v + 5 if v < 128 else v - 5 for v in colour) for colour in LABELS.palette[::-1]]
    picture = indexed(3 - IDS + 1, [(1, 99, 7), *near, (200, 0, 200)])
    assert np.array_equal(read_label_map(picture, LABELS), IDS)


def test_ids_with_a_palette_of_dark_greys_are_ids() -> None:
    for greys in (range(4), (3, 1, 2, 0), (0, 2, 4, 6)):
        picture = indexed(IDS, [(v, v, v) for v in greys] + [(90, 0, 0)])
        assert np.array_equal(read_label_map(picture, LABELS), IDS)


@pytest.mark.parametrize("used", [(0, 1, 2, 3), (1, 3, 3, 1), (2, 2, 2, 2)])
def test_grey_ids_that_a_gif_or_an_optimiser_indexed_are_their_greys(
    used: tuple[int, ...], tmp_path: Path
) -> None:
    ids = np.array(used)[IDS]
    Image.fromarray(ids.astype(np.uint8)).save(tmp_path / "map.gif")
    assert np.array_equal(read_label_map(tmp_path / "map.gif", LABELS), ids)
    greys, indices = np.unique(ids, return_inverse=True)
    picture = indexed(indices.reshape(ids.shape), [(v, v, v) for v in greys])
    assert np.array_equal(read_label_map(picture, LABELS), ids)


def test_an_index_beyond_a_palette_is_not_black() -> None:
    short = list(LABELS.palette[2::-1])
    for ids in (
        IDS,
        np.where(IDS == 0, 3, IDS),
    ):  # the colours of the used ones alone would be those of classes
        assert np.array_equal(read_label_map(indexed(ids, short), LABELS), ids)
    ids = IDS.copy()
    ids[0, 0] = 7
    for palette in (list(LABELS.palette), [*LABELS.palette, *[(0, 0, 0)] * 4]):  # as writers fill up
        with pytest.raises(ValueError, match="value 7 is not a class id: 1 pixels"):
            read_label_map(indexed(ids, palette), LABELS)


def test_transparent_colours_are_refused_and_transparent_ids_are_ids(tmp_path: Path) -> None:
    order = np.array([2, 0, 3, 1])
    for transparency in (1, bytes([255, 0, 255, 255])):
        indexed(np.argsort(order)[IDS], [LABELS.palette[i] for i in order]).save(
            tmp_path / "map.png", transparency=transparency
        )
        with pytest.raises(ValueError, match=rf"^{(IDS == 0).sum()} pixels .* transparent"):
            read_label_map(tmp_path / "map.png", LABELS)
    label_picture(IDS, LABELS).save(tmp_path / "own.png", transparency=0)
    assert np.array_equal(read_label_map(tmp_path / "own.png", LABELS), IDS)


# -- ids where colours are expected, and the other way round ----------------------------------------------------------


def test_black_does_not_swallow_ids_in_three_channels() -> None:
    for channels in (3, 4):
        pixels = np.repeat(IDS[:, :, None], channels, axis=2).astype(np.uint8)
        pixels[:, :, 3:] = 255
        assert np.array_equal(read_label_map(pixels, LABELS), IDS)
        assert np.array_equal(read_label_map(Image.fromarray(pixels), LABELS), IDS)
    wrong = np.where(IDS == 3, 7, IDS)
    for bad, value in ((wrong, 7), (np.full_like(IDS, 5), 5)):
        with pytest.raises(ValueError, match=f"value {value} is not a class id"):
            read_label_map(np.repeat(bad[:, :, None], 3, axis=2).astype(np.uint8), LABELS)


def test_greys_that_are_all_colours_of_classes_are_colours(caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.asarray(colour_picture(IDS, GREYS))
    assert np.array_equal(read_label_map(pixels, GREYS), IDS)
    assert np.array_equal(read_label_map(Image.fromarray(pixels[:, :, 0]), GREYS), IDS)
    shifted = (pixels.astype(int) + np.where(pixels < 100, 2, -2)).astype(np.uint8)
    assert np.array_equal(read_label_map(shifted, GREYS), IDS)
    assert not caplog.text
    many = LabelSet(tuple("abc"), ((2, 2, 2), (1, 1, 1), (0, 0, 0)))
    assert read_label_map(np.zeros((2, 2, 3), dtype=np.uint8), many).max() == 2
    assert "class colours or as ids in three channels" in caplog.text
    assert read_label_map(np.zeros((2, 2), dtype=np.uint8), many).max() == 0


def test_arrays_of_other_whole_numbers() -> None:
    colours = np.asarray(colour_picture(IDS, LABELS))
    for dtype in (np.int64, np.uint16, np.int32):
        assert np.array_equal(read_label_map(colours.astype(dtype), LABELS), IDS)
    with pytest.raises(ValueError, match="to 300; colours are 0 to 255"):
        read_label_map(np.where(colours == 0, 300, colours.astype(int)), LABELS)


def grey_png(samples: np.ndarray, bits: int) -> io.BytesIO:
    """Return a grey PNG of 1, 2, 4 or 8 bits a sample."""
    rows = b"".join(
        b"\0" + np.packbits(np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]).tobytes()
        for row in samples
    )
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], bits, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in parts
    )
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_grey_files_of_few_bits(bits: int, tmp_path: Path) -> None:
    (tmp_path / "map.png").write_bytes(grey_png(IDS, bits).getvalue())
    for source in (tmp_path / "map.png", Image.open(grey_png(IDS, bits))):
        assert np.array_equal(read_label_map(source, LABELS), IDS)
    if bits == 2:  # what an optimiser makes of greys from 0 to 255
        assert np.array_equal(read_label_map(tmp_path / "map.png", GREYS), IDS)
        with pytest.raises(ValueError, match=r"2 bits a value.*both.*save it with 8 bits"):
            read_label_map(tmp_path / "map.png", numbered(300))


# -- lossy compression -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [("map.jpg", {"quality": 100}, "grey JPEG"), ("map.tif", {"compression": "jpeg"}, "TIFF with JPEG compression"),
     ("map.webp", {"quality": 100}, "lossy WebP"), ("map.webp", {"quality": 100, "exif": b"Exif\0\0"}, "lossy WebP")],
)  # fmt: skip
def test_lossy_ids_are_refused_by_the_compression(
    name: str, options: dict, kind: str, tmp_path: Path
) -> None:
    for ids in (BIG, np.full_like(BIG, 2)):  # even where no value was changed
        Image.fromarray(ids.astype(np.uint8)).save(tmp_path / name, **options)
        for source in (tmp_path / name, Image.open(tmp_path / name)):
            with pytest.raises(ValueError, match=f"label map is a {kind}, which smears ids.*PNG"):
                read_label_map(source, LABELS)
            with pytest.raises(ValueError, match=f"instance map is a {kind}|instance map is in mode RGB"):
                read_instance_map(source)


def test_a_lossless_webp_is_read_and_a_decoded_one_is_not_trusted(tmp_path: Path) -> None:
    Image.fromarray(BIG.astype(np.uint8)).save(tmp_path / "map.webp", lossless=True, exif=b"Exif\0\0")
    opened = Image.open(io.BytesIO((tmp_path / "map.webp").read_bytes()))
    for source in (tmp_path / "map.webp", opened):
        assert np.array_equal(read_label_map(source, LABELS), BIG)
    with pytest.raises(ValueError, match=r"is a WebP, which smears ids"):
        read_label_map(opened, LABELS)


def test_colours_of_16_bits_are_refused(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in IDS)
    head = struct.pack(">IIBBBBB", IDS.shape[1], IDS.shape[0], 16, 2, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n"
    for name, part in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        file += struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
    (tmp_path / "map.png").write_bytes(file)
    with pytest.raises(ValueError, match="16 bits a colour channel"):
        read_label_map(tmp_path / "map.png", LABELS)


# -- unknown pixels ----------------------------------------------------------------------------------------------------


def test_ignored_ids_and_colours_count_in_every_reading(tmp_path: Path) -> None:
    labels = LabelSet(LABELS.names, LABELS.palette, (255, (224, 224, 192)))
    unknown = IDS == 1
    values = np.where(unknown, 255, IDS).astype(np.uint8)
    colours = np.asarray(colour_picture(IDS, LABELS)).copy()
    colours[unknown] = (224, 224, 192)
    Image.fromarray(colours).save(tmp_path / "map.gif")
    sources = [
        values,
        np.repeat(values[:, :, None], 3, axis=2),
        Image.fromarray(values),
        colours,
        tmp_path / "map.gif",
    ]
    for source in sources:
        ids, found = read_partial_label_map(source, labels)
        assert np.array_equal(found, unknown)
        assert np.array_equal(ids[~unknown], IDS[~unknown])
    with pytest.raises(ValueError, match=r'255 is not a class id.*"ignore": \[255\]'):
        read_label_map(values, LABELS)
