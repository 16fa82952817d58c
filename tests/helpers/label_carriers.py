"""Every lossless way to store a label map, as programs save pictures: writers for tests of its readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from groupdnet_hub.data.labels import LabelSet


@dataclass(frozen=True)
class Example:
    """A label map to write.

    Attributes:
        labels: its label set; the first of its ignored ids and colours stand for unknown pixels.
        ids: int64 [H, W].
        unknown: bool [H, W].
        random: draws what a writer is free to choose.
    """

    labels: LabelSet
    ids: np.ndarray
    unknown: np.ndarray
    random: np.random.Generator

    @property
    def values(self) -> np.ndarray:
        """The ids, with the ignored id at unknown pixels."""
        return (
            np.where(self.unknown, self.labels.ignored_ids[0], self.ids) if self.labels.ignore else self.ids
        )

    @property
    def colours(self) -> np.ndarray:
        """Uint8 [H, W, 3]."""
        pixels = np.asarray(self.labels.palette, dtype=np.uint8)[self.ids]
        if self.labels.ignore:
            pixels[self.unknown] = self.labels.ignored_colours[0]
        return pixels

    @property
    def fits_8_bits(self) -> bool:
        return bool(self.values.max() < 256)


Write = Callable[[Example, Path], Any]


def _saved(picture: Image.Image, path: Path, **options: Any) -> Path:
    picture.save(path, **options)
    return path


def _in_colours(name: str, mode: str = "RGB", **options: Any) -> Write:
    return lambda e, folder: _saved(Image.fromarray(e.colours).convert(mode), folder / name, **options)


def _in_greys(name: str, mode: str = "L", **options: Any) -> Write:
    return lambda e, folder: _saved(
        Image.fromarray(e.values.astype(np.uint8)).convert(mode), folder / name, **options
    )


def _in_16_bits(name: str, **options: Any) -> Write:
    return lambda e, folder: _saved(Image.fromarray(e.values.astype(np.uint16)), folder / name, **options)


def _indexed(name: str, *, sort: bool = False, junk: bool = False) -> Write:
    """Save the colours as a palette picture whose entries stand in any order, perhaps among unused ones."""

    def write(example: Example, folder: Path) -> Path:
        colours, inverse = np.unique(example.colours.reshape(-1, 3), axis=0, return_inverse=True)
        room = 256 if junk else len(colours)
        places = np.arange(len(colours)) if sort else example.random.permutation(room)[: len(colours)]
        palette = example.random.integers(0, 256, (room, 3)).astype(np.uint8)
        palette[places] = colours
        picture = Image.fromarray(places[inverse].reshape(example.ids.shape).astype(np.uint8))
        picture.putpalette(palette.tobytes())
        return _saved(picture, folder / name)

    return write


def foreign_palette(example: Example) -> np.ndarray:
    """Colours uint8 [256, 3] that have nothing to do with the classes."""
    return example.random.integers(0, 256, (256, 3)).astype(np.uint8)


def _ids_with_palette(name: str) -> Write:
    def write(example: Example, folder: Path) -> Path:
        picture = Image.fromarray(example.values.astype(np.uint8))
        picture.putpalette(foreign_palette(example).tobytes())
        return _saved(picture, folder / name)

    return write


# What holds colours of classes.
IN_COLOURS: dict[str, Write] = {
    "RGB PNG": _in_colours("map.png"),
    "RGBA PNG": _in_colours("map.png", "RGBA"),
    "RGB BMP": _in_colours("map.bmp"),
    "RGB TIFF": _in_colours("map.tif"),
    "RGB TIFF, LZW": _in_colours("map.tif", compression="tiff_lzw"),
    "RGB TIFF, deflate": _in_colours("map.tif", compression="tiff_deflate"),
    "RGB WebP": _in_colours("map.webp", lossless=True),
    "RGBA WebP": _in_colours("map.webp", "RGBA", lossless=True, exact=True),
    "RGB array": lambda e, _: e.colours,
    "RGB array of int64": lambda e, _: e.colours.astype(np.int64),
    "RGBA array": lambda e, _: np.dstack((e.colours, np.full(e.ids.shape, 255, dtype=np.uint8))),
    "RGB tensor": lambda e, _: torch.from_numpy(e.colours),
    "RGB image": lambda e, _: Image.fromarray(e.colours),
}
# The same for maps of at most 256 colours.
INDEXED: dict[str, Write] = {
    "indexed PNG": _indexed("map.png", sort=True),
    "indexed PNG, any order": _indexed("map.png"),
    "indexed PNG, unused entries": _indexed("map.png", junk=True),
    "indexed GIF": _indexed("map.gif"),
    "indexed BMP": _indexed("map.bmp"),
    "indexed TIFF": _indexed("map.tif"),
    "GIF": _in_colours("map.gif"),
    "quantised PNG": lambda e, folder: _saved(
        Image.fromarray(e.colours).convert("P", palette=Image.Palette.ADAPTIVE, colors=256),
        folder / "map.png",
        optimize=True,
    ),
}
# What holds ids and is read as ids, whatever the colours are.
IN_IDS: dict[str, Write] = {
    "array of int64": lambda e, _: e.values,
    "array of uint16": lambda e, _: e.values.astype(np.uint16),
    "tensor": lambda e, _: torch.from_numpy(e.values),
    "16-bit PNG": _in_16_bits("map.png"),
    "16-bit TIFF": _in_16_bits("map.tif", compression="tiff_deflate"),
    "32-bit TIFF": lambda e, folder: _saved(
        Image.fromarray(e.values.astype(np.int32)), folder / "map.tif", compression="tiff_lzw"
    ),
    "32-bit image": lambda e, _: Image.fromarray(e.values.astype(np.int32)),
}
# The same for ids of 8 bits.
IN_8_BITS: dict[str, Write] = {
    "grey PNG": _in_greys("map.png"),
    "grey PNG, optimised": _in_greys("map.png", optimize=True),
    "grey TIFF": _in_greys("map.tif", compression="tiff_lzw"),
    "grey image": lambda e, _: Image.fromarray(e.values.astype(np.uint8)),
    "array of uint8": lambda e, _: e.values.astype(np.uint8),
}
# Ids where a format, or a program, has colours only: greys that are all colours of classes are taken as such.
IN_GREYS: dict[str, Write] = {
    "ids in RGB PNG": _in_greys("map.png", "RGB"),
    "ids in RGBA PNG": _in_greys("map.png", "RGBA"),
    "ids in RGB TIFF": _in_greys("map.tif", "RGB"),
    "ids in WebP": _in_greys("map.webp", lossless=True),
    "ids in GIF": _in_greys("map.gif"),
    "ids in an RGB array": lambda e, _: np.repeat(e.values[:, :, None], 3, axis=2).astype(np.uint8),
}
# Ids in an indexed picture whose palette is of other colours.
IN_FOREIGN_COLOURS: dict[str, Write] = {
    "PNG with another palette": _ids_with_palette("map.png"),
    "TIFF with another palette": _ids_with_palette("map.tif"),
}
