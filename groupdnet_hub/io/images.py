"""Opening pictures strictly: every file that is not a plain picture is refused with a message that says why."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin
from torch import Tensor

from groupdnet_hub.io.formats.deep_values import Depth, check_colours, depth_of, grey_bytes
from groupdnet_hub.io.formats.phone_formats import phone_decoder
from groupdnet_hub.io.names import near_name
from groupdnet_hub.io.orientation import FULL_SIZE, TURNED, orientation_in

# Larger pictures are refused by their header, before memory is allocated for them; ...
MAX_PIXELS = 4096 * 4096
# ... photos of 50 megapixels are read if they are to be scaled down, in the formats in which phones store them.
MAX_PHOTO_PIXELS = 8192 * 6144
_LARGE_FORMATS = ("JPEG", "MPO", "HEIF", "AVIF")
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
_PHOTO_MODES = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
_ALPHA_MODES = ("LA", "PA", "La", "RGBA", "RGBa")
_DEEP_GREY_MODES = ("I", "I;16", "I;16B", "I;16L")
# Key of Image.info under which a picture that was turned upright keeps how its file stores values.
_DEPTH = "depth of the file"
_WHITE = np.uint8(255)
# Pillow's decoders raise all of these for damaged files, and so do those of phones' formats.
_DECODER_ERRORS = (
    OSError,
    RuntimeError,
    SyntaxError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    struct.error,
    Image.DecompressionBombError,
)

Source = str | os.PathLike[str] | Image.Image | np.ndarray


def open_picture(source: Source, *, what: str = "picture", upright: bool = False) -> Image.Image:
    """Open and fully decode a picture file, or check a PIL image or an array.

    Args:
        source: a path to a PNG, JPEG, WEBP, BMP, TIFF or GIF; a PIL image; or an array uint8 [H, W, 3].
        what: name of the picture in messages.
        upright: whether to turn it by its EXIF orientation (TIFF files always are).

    Returns:
        The decoded picture; ``format`` of one from a file still names the file's format. One that was turned has the
        file's orientation in ``info``, for :func:`groupdnet_hub.io.headers.header_of`.

    Raises:
        ValueError: for a missing file, a format other than those, a damaged or truncated file, more than
            4096 x 4096 pixels, or an animation. Messages name the file and never its folder.
    """
    name = f"the {what}"
    if isinstance(source, np.ndarray):
        return _from_array(source, name)
    if isinstance(source, Image.Image):
        return _decoded(source, name, upright)
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(f"{name} is of type {type(source).__name__}; give a path, a PIL image or an array")
    with undecoded(source, what=what) as picture:
        return _decoded(picture, _named(name, Path(source)), upright)


@contextmanager
def undecoded(
    source: str | os.PathLike[str], *, what: str = "picture", photo: bool = False, large: bool = False
) -> Iterator[ImageFile.ImageFile]:
    """Open a picture file as far as its header, which tells its format, mode and size.

    Args:
        source: a path, as :func:`open_picture` takes it.
        what: name of the picture in messages.
        photo: whether it may be HEIC or AVIF.
        large: whether it may have up to 8192 x 6144 pixels, in the formats in which phones store photos.

    Yields:
        The picture, not decoded, while its file is open.

    Raises:
        ValueError: as :func:`open_picture`, for what the header tells.
    """
    path = Path(source)
    name = _named(f"the {what}", path)
    if not os.path.isfile(path):
        if os.path.isdir(path):
            raise ValueError(f"{name} is a folder, not a file")
        near = near_name(path)
        raise ValueError(f"{name} does not exist" + (f"; there is {near!r}" if near else ""))
    try:
        file = path.open("rb")
    except OSError as error:
        raise ValueError(f"{name} cannot be opened ({error.strerror})") from None
    with file:
        picture = _identified(file, name, photo=photo)
        _check_size(picture.size, name, _limit_of(picture) if large else MAX_PIXELS)
        yield picture


def picture_in_bytes(content: bytes, *, what: str = "picture") -> ImageFile.ImageFile:
    """Open a picture file in memory as far as its header; :func:`open_picture` checks and decodes it.

    Raises:
        ValueError: for a format other than those, and a damaged header.
    """
    return _identified(BytesIO(content), f"the {what}")


def _named(name: str, path: Path) -> str:
    short = path.name if len(path.name) <= 80 else f"{path.name[:77]}..."
    return f"{name} {short!r}"


def _identified(file: BinaryIO, name: str, *, photo: bool = False) -> ImageFile.ImageFile:
    """Read the picture's header; not by Image.open, whose limit of pixels any library may have changed."""
    Image.init()
    start = file.read(16)
    if not start:
        raise ValueError(f"{name} is empty: save or download it again")
    opens = next((Image.OPEN[one][0] for one in _FORMATS if _accepts(one, start)), None)
    file.seek(0)
    if opens is None and photo:
        opens = phone_decoder(file, name)
        file.seek(0)
    if opens is None:
        raise ValueError(f"{name} is not a picture that can be read: save it as PNG")
    try:
        return opens(file, "")
    except _DECODER_ERRORS as error:
        raise _damaged(name, error) from None


def _accepts(picture_format: str, start: bytes) -> bool:
    accepts = Image.OPEN[picture_format][1]
    accepted = accepts is not None and accepts(start)
    return bool(accepted) and not isinstance(accepted, str)  # a str says why this Pillow lacks the format


def _limit_of(picture: Image.Image) -> int:
    """Return how many pixels a photo may have that is scaled down: not all formats are read in bounded memory."""
    return MAX_PHOTO_PIXELS if picture.format in _LARGE_FORMATS else MAX_PIXELS


def _decoded(picture: Image.Image, name: str, upright: bool, side: int | None = None) -> Image.Image:
    """Decode a picture; one of a phone's formats is scaled down to ``side``, if that is given."""
    _check_size(picture.size, name, MAX_PIXELS if side is None else _limit_of(picture))
    try:
        depth = depth_of(picture)
    except _DECODER_ERRORS as error:
        raise _damaged(name, error) from None
    if depth.planes:
        raise ValueError(
            f"{name} stores each of its 16-bit colours by itself: save it with interleaved colours, or with 8 bits"
        )
    try:
        orientation = 1
        if upright:
            orientation = orientation_in(picture)  # of a TIFF it is gone when the pixels are read
        if orientation > 4 and isinstance(picture, TiffImagePlugin.TiffImageFile):
            picture.filename = (
                ""  # by its name Pillow would map the file into memory, with width and height swapped
            )
        picture_format = picture.format
        picture.load()
        animated = _is_animation(picture)  # this reads the header of a second picture
        if side is not None and picture_format in _LARGE_FORMATS:
            picture = _scaled_down(picture, side)  # before it is copied
    except _DECODER_ERRORS as error:
        raise _damaged(name, error) from None
    if animated:
        raise ValueError(f"{name} is an animation or has several pages: save one of them")
    if not upright:
        return picture
    try:
        turned = ImageOps.exif_transpose(picture)
    except _DECODER_ERRORS as error:
        raise _damaged(name, error) from None
    turned.format = picture_format
    turned.info[_DEPTH] = depth
    if orientation > 1:
        turned.info[TURNED] = orientation
    return turned


def _is_animation(picture: Image.Image) -> bool:
    if picture.format in ("MPO", "HEIF"):  # a phone's, with a depth map, a preview or others of a burst
        return False
    try:
        return bool(getattr(picture, "is_animated", False))
    except ValueError:  # the caller has closed its file: only the decoded picture is left
        return False


def _damaged(name: str, error: BaseException) -> ValueError:
    return ValueError(f"{name} is damaged or cut off ({error}): save or download it again")


def _check_size(size: tuple[int, int], name: str, limit: int = MAX_PIXELS) -> None:
    width, height = size
    if width * height > limit:
        raise ValueError(
            f"{name} is {height}x{width} (height x width); at most {limit} pixels are read: make it smaller"
        )
    if width * height == 0:
        raise ValueError(f"{name} is empty ({height}x{width})")


def _from_array(pixels: np.ndarray, name: str) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        scale = ": (255 * array).round().astype('uint8') if its values are 0 to 1"
        raise ValueError(
            f"{name} is an array {pixels.dtype} {pixels.shape}; it must be uint8 [H, W, 3], values 0 to 255"
            f"{scale if pixels.dtype.kind == 'f' else ''}"
        )
    _check_size((pixels.shape[1], pixels.shape[0]), name)
    return Image.fromarray(pixels)


def _scaled_down(picture: Image.Image, side: int) -> Image.Image:
    """Return a picture whose longer side is at most ``side``, with its metadata."""
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)


def read_photo(source: Source, *, what: str = "photo", side: int | None = None) -> Image.Image:
    """Read a photo as RGB, upright.

    Grey, palette, CMYK and 16-bit pictures are converted; transparent parts are laid on white. Values of 12 bits, or of
    as many as the ``sBIT`` of a PNG or the ``SMaxSampleValue`` of a TIFF says, are scaled.

    Args:
        source: as :func:`open_picture` takes it, or a path to a HEIC (with pillow-heif) or AVIF (Pillow 11.3).
        what: name of the photo in messages.
        side: where the longer side is longer, the photo is scaled down to this many pixels while it is decoded; then a
            JPEG, HEIC or AVIF may have up to 8192 x 6144 pixels. The (width, height) that it would have otherwise is in
            ``info``, for :func:`groupdnet_hub.io.headers.header_of`.

    Raises:
        ValueError: as :func:`open_picture`, for floating-point or 32-bit values, for a nearly black picture of 16 bits,
            which holds values of 8 or 12 bits, and if what reads a format is not installed.
    """
    picture, full_size = _opened_photo(source, what, side)
    photo = _as_rgb(picture, picture.info.get(_DEPTH, Depth(8)), what)
    photo.info.pop(_DEPTH, None)
    turned = picture.info.get(TURNED, 1)
    if turned > 1:
        photo.info[TURNED] = turned
    if side is not None and max(full_size) > side:
        photo = _scaled_down(photo, side)
        photo.info[FULL_SIZE] = full_size
    return photo


def _opened_photo(source: Source, what: str, side: int | None) -> tuple[Image.Image, tuple[int, int]]:
    """Return a photo, decoded and upright, and the (width, height) that it would have if it were not scaled down."""
    if not isinstance(source, (str, os.PathLike)):
        picture = open_picture(source, what=what, upright=True)
        return picture, picture.size
    with undecoded(source, what=what, photo=True, large=side is not None) as opened:
        width, height = opened.size
        if side is not None and max(width, height) > side:
            # A JPEG is decoded at half its size, or a quarter, or an eighth, no smaller than this.
            scale = side / max(width, height)
            opened.draft(None, (max(1, int(width * scale)), max(1, int(height * scale))))
        picture = _decoded(opened, _named(f"the {what}", Path(source)), True, side)
        if picture.format not in _LARGE_FORMATS:
            return picture, picture.size
        return picture, (width, height) if picture.info.get(TURNED, 1) < 5 else (height, width)


def _as_rgb(picture: Image.Image, depth: Depth, what: str) -> Image.Image:
    clear = picture.info.get("transparency")
    if picture.mode in _DEEP_GREY_MODES:
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(
                f"the {what} has grey values from {values.min()} to {values.max()}; at most 16 bit (0 to 65535) "
                "are read"
            )
        grey = grey_bytes(values, depth, what)
        return Image.fromarray(grey if clear is None else np.where(values == clear, _WHITE, grey)).convert(
            "RGB"
        )
    if depth.stored > 8 and picture.mode in ("RGB", "RGBA"):
        check_colours(int(np.asarray(picture)[:, :, :3].max()), depth, what)
        if isinstance(clear, tuple):  # of 16 bits still
            picture.info["transparency"] = tuple(value >> 8 for value in clear)
    if picture.mode in _ALPHA_MODES or clear is not None:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    if picture.mode not in _PHOTO_MODES:
        raise ValueError(f"the {what} is in mode {picture.mode}; save it as RGB or grey, 8 or 16 bit")
    return picture.convert("RGB")


def photo_to_tensor(photo: Image.Image, size: tuple[int, int] | None = None) -> Tensor:
    """Return an RGB picture as float32 [3, H, W] in [-1, 1], resized (Lanczos) if ``size`` (height, width) is given."""
    return bytes_to_image(photo_to_bytes(photo, size))


def photo_to_bytes(photo: Image.Image, size: tuple[int, int] | None = None) -> Tensor:
    """Return an RGB picture as uint8 [3, H, W], resized (Lanczos) if ``size`` (height, width) is given."""
    photo = photo.convert("RGB")  # before the resize: palette indices cannot be averaged
    if size is not None and (photo.height, photo.width) != tuple(size):
        photo = photo.resize((size[1], size[0]), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1)


def bytes_to_image(pixels: Tensor) -> Tensor:
    """Return uint8 values of any shape as float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def tensor_to_picture(image: Tensor) -> Image.Image:
    """Return float [3, H, W] in [-1, 1] as an RGB picture, rounded; values outside are clamped.

    Raises:
        ValueError: for another shape.
    """
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"the image has the shape {tuple(image.shape)}; one picture is [3, H, W]")
    pixels = ((image.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
