"""Opening pictures strictly: every file that is not what it should be is refused in words."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

# Larger pictures are refused from their header, before any memory is taken for them.
MAX_PIXELS = 4096 * 4096
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")

Source = str | os.PathLike[str] | Image.Image | np.ndarray


def open_picture(
    source: str | os.PathLike[str] | Image.Image, *, what: str = "picture", upright: bool = False
) -> Image.Image:
    """Open and fully decode a picture file, or check a PIL image.

    Args:
        what: how messages call it.
        upright: turn it as its EXIF orientation says.

    Raises:
        ValueError: for a missing file, a format that is no raster picture, a damaged or truncated file, more than
            4096 x 4096 pixels, or an animation. Messages hold the file's name and never its folder.
    """
    if isinstance(source, Image.Image):
        _check_size(source.size, what)
        picture = source
    elif isinstance(source, (str, os.PathLike)):
        picture = _open_file(Path(source), what)
    else:
        raise ValueError(
            f"the {what} is of type {type(source).__name__}; give a path, a PIL image or an array"
        )
    return ImageOps.exif_transpose(picture) if upright else picture


def _open_file(path: Path, what: str) -> Image.Image:
    name = f"the {what} {path.name!r}"
    if not path.is_file():
        raise ValueError(f"{name} does not exist")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as picture:
                _check_size(picture.size, what)
                if getattr(picture, "n_frames", 1) > 1:
                    raise ValueError(f"{name} is an animation: save one of its frames")
                picture.load()
                return picture.copy() if picture.fp is None else picture
    except Image.DecompressionBombError:
        raise ValueError(f"{name} has more than {MAX_PIXELS} pixels: make it smaller") from None
    except UnidentifiedImageError:
        raise ValueError(f"{name} is not a picture that can be read: use PNG, JPEG or WEBP") from None
    except (OSError, SyntaxError, EOFError, IndexError, KeyError, OverflowError) as error:
        # Pillow's decoders raise all of these for damaged files.
        detail = str(error).replace(str(path), path.name)
        raise ValueError(f"{name} is damaged or cut off ({detail}): save or download it again") from None


def _check_size(size: tuple[int, int], what: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"the {what} is {height}x{width} (height x width); at most {MAX_PIXELS} pixels are read: make it smaller"
        )
    if width * height == 0:
        raise ValueError(f"the {what} is empty ({height}x{width})")


def read_photo(source: Source, *, what: str = "photo") -> Image.Image:
    """A photo as RGB, upright.

    Transparent parts become white. Arrays are uint8 [H, W, 3].

    Raises:
        ValueError: as :func:`open_picture`, and for arrays of another kind.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise ValueError(
                f"the {what} is an array {source.dtype} {source.shape}; it must be uint8 [H, W, 3], values 0 to 255"
            )
        _check_size((source.shape[1], source.shape[0]), what)
        return Image.fromarray(source)
    picture = open_picture(source, what=what, upright=True)
    if picture.mode in ("I;16", "I;16B", "I;16L", "I"):
        grey = np.clip(np.asarray(picture).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")


def photo_to_tensor(photo: Image.Image, size: tuple[int, int] | None = None) -> Tensor:
    """An RGB picture as float32 [3, H, W] in [-1, 1], resized (Lanczos) to ``size`` = (height, width) if given."""
    if size is not None and (photo.height, photo.width) != tuple(size):
        photo = photo.resize((size[1], size[0]), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(photo.convert("RGB")))
    return pixels.permute(2, 0, 1).float() / 127.5 - 1


def tensor_to_picture(image: Tensor) -> Image.Image:
    """float [3, H, W] in [-1, 1] as an RGB picture, rounded; values outside are clamped."""
    pixels = ((image.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
