"""Photos as phones store them: HEIC, AVIF and 50 megapixels, read in bounded memory, upright, and refused in words."""

from __future__ import annotations

import builtins
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.io.headers import Header, header_of
from groupdnet_hub.io.images import MAX_PHOTO_PIXELS, MAX_PIXELS, open_picture, read_photo
from tests.helpers.hostile_files import peak_memory, refusal

ORIENTATION = 0x0112
# (width, height) of the largest phone photos that are read.
LARGE = (8192, 6144)


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """Return a picture whose four corners have four colours."""
    corners = np.array([[[220, 30, 30], [30, 200, 30]], [[30, 30, 220], [220, 200, 30]]], np.uint8)
    return Image.fromarray(corners.repeat(height // 2, 0).repeat(width // 2, 1))


def save_heic(picture: Image.Image, path: Path, **options: Any) -> None:
    heif = pytest.importorskip("pillow_heif", reason="HEIC needs pillow-heif")
    file = heif.from_pillow(picture)
    file[0].info |= options
    file.save(path, quality=90)


def save_avif(picture: Image.Image, path: Path, **options: Any) -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    picture.save(path, "AVIF", quality=90, speed=10, **options)


def save_jpeg(picture: Image.Image, path: Path, **options: Any) -> None:
    picture.save(path, "JPEG", quality=95, **options)


Save = Callable[..., None]
FORMATS = {"heic": save_heic, "avif": save_avif, "jpg": save_jpeg}


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_of_phones_is_read_and_scaled_down(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"photo.{ending}"
    FORMATS[ending](scene(960, 640), path)
    whole, small = read_photo(path), read_photo(path, side=90)
    assert (whole.size, small.size) == ((960, 640), (90, 60))
    assert {whole.mode, small.mode} == {"RGB"}
    for photo in (whole, small):
        assert header_of(photo) == header_of(path) == Header((640, 960))
        seen = np.asarray(photo.resize((96, 64))).astype(int)
        assert np.abs(seen - np.asarray(scene()))[8:24, 8:40].max() < 24
    assert read_photo(path, side=960).size == (960, 640)


@pytest.mark.parametrize("ending", ["avif", "jpg"])
@pytest.mark.parametrize("side", [None, 90])
def test_exif_turns_a_photo_that_is_scaled_down(tmp_path: Path, ending: str, side: int | None) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / f"photo.{ending}"
    FORMATS[ending](scene(960, 640).rotate(90, expand=True), path, exif=exif)
    photo = read_photo(path, side=side)
    assert photo.size == ((960, 640) if side is None else (90, 60))
    header = header_of(photo)
    assert header is not None
    assert header == header_of(path)
    assert (header.upright, header.stored, header.orientation) == ((640, 960), (960, 640), 6)
    seen = np.asarray(photo.resize((96, 64))).astype(int)
    assert np.abs(seen - np.asarray(scene()))[8:24, 8:40].max() < 24


def test_a_heic_is_turned_once(tmp_path: Path) -> None:
    """Its file has an orientation of its own, which its decoder follows; the one in its EXIF only repeats it."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    save_heic(scene(960, 640).rotate(90, expand=True), tmp_path / "photo.heic", exif=exif.tobytes())
    photo = read_photo(tmp_path / "photo.heic", side=90)
    assert photo.size == (90, 60)
    seen = np.asarray(photo.resize((96, 64))).astype(int)
    assert np.abs(seen - np.asarray(scene()))[8:24, 8:40].max() < 24


def test_transparent_parts_are_laid_on_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    for ending, save in (("heic", save_heic), ("avif", save_avif)):
        save(clear, tmp_path / f"clear.{ending}")
        assert np.asarray(read_photo(tmp_path / f"clear.{ending}", side=32)).min() > 250


def test_a_photo_of_50_megapixels_takes_little_memory(tmp_path: Path) -> None:
    """A JPEG is decoded at a fourth of its size; whole it would be 150 MB, and be copied."""
    path = tmp_path / "photo.jpg"
    scene(*LARGE).save(path, quality=90)
    before = peak_memory(reset=True)
    photo = read_photo(path, side=1600)
    assert (peak_memory() - before) / 2**20 < 64
    assert photo.size == (1600, 1200)
    assert header_of(photo) == Header(LARGE[::-1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["progressive", "avif"])
def test_what_is_decoded_whole_is_bounded_too(tmp_path: Path, kind: str) -> None:
    path, picture = tmp_path / "photo", scene(*LARGE)
    if kind == "avif":
        save_avif(picture, path)
    else:
        picture.save(path, "JPEG", quality=90, progressive=True, subsampling=0)
    before = peak_memory(reset=True)
    assert read_photo(path, side=1600).size == (1600, 1200)
    assert (peak_memory() - before) / 2**20 < 512


def test_larger_ones_are_refused_by_their_header(tmp_path: Path) -> None:
    assert LARGE[0] * LARGE[1] == MAX_PHOTO_PIXELS
    path = tmp_path / "photo.jpg"
    scene(8194, 6144).save(path, quality=10)
    with refusal(f"'photo.jpg' is 6144x8194 .height x width.; at most {MAX_PHOTO_PIXELS} pixels are read"):
        read_photo(path, side=1600)
    scene(5000, 4000).save(path, quality=10)
    assert read_photo(path, side=1600).size == (1600, 1280)
    with refusal(f"at most {MAX_PIXELS} pixels are read"):
        read_photo(path)
    # Other formats are decoded whole, and no larger than before.
    Image.new("L", (5000, 4000)).save(tmp_path / "photo.png")
    with refusal(f"at most {MAX_PIXELS} pixels are read"):
        read_photo(tmp_path / "photo.png", side=1600)


@pytest.mark.parametrize("ending", ["heic", "avif"])
def test_a_damaged_one_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"photo.{ending}"
    FORMATS[ending](scene(960, 640), path)
    content = path.read_bytes()
    for length in (40, 200, len(content) - 300):
        path.write_bytes(content[:length])
        with refusal("is damaged or cut off|is not a picture that can be read"):
            read_photo(path, side=90)


def test_without_its_library_a_heic_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(64))
    plain = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.startswith("pillow_heif"):
            raise ModuleNotFoundError(name)
        return plain(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        ValueError, match=r"'photo\.heic' is HEIC, which needs pillow-heif: pip install pillow"
    ):
        read_photo(tmp_path / "photo.heic")


def test_an_old_pillow_is_told_for_an_avif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photo.avif").write_bytes(b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1miaf" + bytes(64))
    Image.init()
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    with pytest.raises(ValueError, match=r"'photo\.avif' is AVIF, for which this Pillow is too old"):
        read_photo(tmp_path / "photo.avif")


def test_label_maps_are_in_neither(tmp_path: Path) -> None:
    """Their colours would be blurred, and one more decoder would read files of strangers."""
    from groupdnet_hub.data.figure_textures import FIGURE_LABELS

    (tmp_path / "map.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(64))
    for read in (open_picture, lambda path: read_label_map(path, FIGURE_LABELS)):
        with pytest.raises(ValueError, match="is not a picture that can be read: save it as PNG"):
            read(tmp_path / "map.heic")


def test_a_picture_in_memory_is_scaled_down_too() -> None:
    photo = read_photo(scene(960, 640), side=90)
    assert photo.size == (90, 60)
    buffer = io.BytesIO()
    scene(960, 640).save(buffer, "PNG")
    assert np.asarray(read_photo(Image.open(buffer), side=90)).shape == (60, 90, 3)
