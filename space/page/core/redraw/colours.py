"""Colours as they are written, seen, and compared: #rrggbb, and CIE Lab, in which distances are as people see them."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

# From linear sRGB to CIE XYZ (IEC 61966-2-1), and the white of it, D65.
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _TO_XYZ.sum(axis=1)
_KNEE = 6 / 29


def read_colour(text: object) -> np.ndarray:
    """Return float64 [3], 0 to 255, of a colour such as "#3366cc".

    Raises:
        ValueError: for anything else.
    """
    if not isinstance(text, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ValueError('the colour must be written as six hexadecimal digits, such as "#3366cc".')
    return np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float64)


def written(rgb: np.ndarray) -> str:
    """Return a colour [3], 0 to 255, as "#rrggbb"."""
    return "#" + "".join(f"{round(float(value)):02x}" for value in rgb)


def mean_colour(picture: Image.Image, region: np.ndarray) -> np.ndarray:
    """Return the mean float64 [3], 0 to 255, of a picture's pixels in a region, bool [H, W] and not empty."""
    return np.asarray(picture.convert("RGB"), dtype=np.float64)[region].mean(axis=0)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return L*, a* and b* [..., 3] (CIE 1976, white D65) of sRGB colours [..., 3], 0 to 255.

    The Euclidean distance of two colours is the colour difference of 1976; 2.3 of it can just be seen.
    """
    scaled = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    relative = linear @ _TO_XYZ.T / _WHITE
    x, y, z = np.moveaxis(
        np.where(relative > _KNEE**3, np.cbrt(relative), relative / (3 * _KNEE**2) + 4 / 29), -1, 0
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
