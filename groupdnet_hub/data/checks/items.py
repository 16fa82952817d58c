"""Checks of one item of a data set: by the headers of its files, or by reading it as training does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.listing import LISTING, Pair
from groupdnet_hub.data.paired import read_packed
from groupdnet_hub.data.turned_pairs import PairWarnings, check_pair
from groupdnet_hub.io.carriers import carrier_of
from groupdnet_hub.io.file_ends import seems_complete
from groupdnet_hub.io.formats.deep_values import depth_of
from groupdnet_hub.io.headers import header_of
from groupdnet_hub.io.images import undecoded

# From the thorough to the lax.
Level = Literal["full", "headers", "none"]

# Modes of files that their readers take whatever the values are, or tell by the values alone.
_PHOTO_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B", "I;16L")
_INDEX_MODES = ("P", "L", "I", "I;16", "I;16B", "I;16L")
_COLOUR_MODES = ("RGB", "RGBA")
# Reading resizes to this: every pixel is looked at, and next to nothing is kept.
_SIZE = (1, 1)


def _say_nothing(message: str) -> None:
    """Leave it to training to say, once."""


_NO_WARNINGS = PairWarnings(turned=_say_nothing, two_readings=_say_nothing)


@dataclass(frozen=True)
class BadItem:
    """An item that cannot be read.

    Attributes:
        split: split of the data set.
        item: index of the item in it.
        reason: what is wrong; it names the item and its files.
        files: paths of the picture and its maps; none for a row of a table.
    """

    split: str
    item: int
    reason: str
    files: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the same by names, for JSON."""
        names = ("file_name", "label_file_name", "instance_file_name")
        return {"split": self.split, "item": self.item, **dict(zip(names, self.files, strict=False))} | {
            "reason": self.reason
        }


def check_item(
    pairs: Sequence[Pair], index: int, labels: LabelSet, level: Level, *, split: str, instances: bool
) -> BadItem | None:
    """Return what is wrong with an item; None for nothing.

    What headers leave in doubt is read, so that no item is refused that training reads, and the reason is that of
    training.

    Args:
        pairs: pictures and maps, with all instance maps that there are.
        index: index of the item.
        labels: label set of the maps.
        level: ``full`` reads every pixel; ``headers`` only those of files whose headers or ends are not as they
            should be.
        split: split of the data set, for messages.
        instances: whether the item needs an instance map; those that are not needed are not looked at.
    """
    files: tuple[str, ...] = ()
    name = f"{split}, item {index}"
    try:
        pair = pairs[index] if instances else (*pairs[index][:2], None)
        files = tuple(os.fspath(file) for file in pair if isinstance(file, Path))
        if files:
            # A message names a file and its folder: together with this it is the path.
            name = f"{Path(files[0]).parents[1]}, item {index}"
        if instances and pair[2] is None:
            raise ValueError(
                f"{name} ({'/'.join(Path(files[0]).parts[-2:])}) has no instance map (no instance_file_name in "
                f"{LISTING}), and this model draws instance edges"
                if files
                else f"{name} has no instance map, and this model draws instance edges"
            )
        if level == "full" or not seems_sound(pair):
            read_packed(pair, labels, _SIZE, name, warnings=_NO_WARNINGS)
    except (ValueError, OSError) as error:
        return BadItem(split, index, str(error), files)
    return None


def seems_sound(pair: Pair) -> bool:
    """Return whether an item's files are complete, of kinds that are read, and fit each other, as their headers tell.

    The values of their pixels are not looked at. In doubt the answer is no.

    Args:
        pair: picture, label map and instance map or None, as the strict readers take them.
    """
    try:
        with ExitStack() as opened:
            pictures = [opened.enter_context(_opened(one)) for one in pair if one is not None]
            if not all(map(_seems_whole, pictures)):
                return False
            headers = [header_of(picture) for picture in pictures]
            check_pair([*headers, None][:3])
            photo, label_map, *instance_maps = pictures
            return (
                len({header and header.upright for header in headers[:2]}) == 1
                and _is_photo(photo)
                and _is_map(label_map, (*_INDEX_MODES, *_COLOUR_MODES))
                and all(_is_map(one, _INDEX_MODES) for one in instance_maps)
            )
    except Exception:  # whatever a damaged file makes a decoder raise
        return False


def _opened(source: Any) -> Any:
    return nullcontext(source) if isinstance(source, Image.Image) else undecoded(source)


def _seems_whole(picture: Any) -> bool:
    animated = picture.format != "MPO" and getattr(picture, "is_animated", False)
    return not animated and (not hasattr(picture, "fp") or seems_complete(picture))


def _is_photo(picture: Image.Image) -> bool:
    return picture.mode in _PHOTO_MODES and not depth_of(picture).planes


def _is_map(picture: Image.Image, modes: Sequence[str]) -> bool:
    carrier = carrier_of(picture)
    deep_colours = picture.mode in _COLOUR_MODES and carrier.bits > 8
    return picture.mode in modes and carrier.lossy is None and not deep_colours
