"""Reading label maps strictly: index pictures, palette colours, arrays."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from groupdnet_hub.data.label_values import (
    Colours,
    Tell,
    as_ids,
    ids_of_colours,
    ids_of_greys,
    ids_of_palette,
    nearest_classes,
)
from groupdnet_hub.data.labels import LabelSet, resize_map
from groupdnet_hub.data.unknown import UNKNOWN, fill_unknown
from groupdnet_hub.io.carriers import Carrier, carrier_of
from groupdnet_hub.io.images import open_picture

LabelSource = str | os.PathLike[str] | Image.Image | np.ndarray | Tensor

_INDEX_MODES = ("P", "L", "I", "I;16", "I;16B", "I;16L")
_COLOUR_MODES = ("RGB", "RGBA")
# Largest relative difference of a label map's proportions from the required ones at which it is resized.
_ASPECT_TOLERANCE = 0.02
# Values that data sets often give pixels of which nobody knows the class.
_OFTEN_UNKNOWN = (255, 65535)
_log = logging.getLogger(__name__)


class NoIdsError(ValueError):
    """Values of a label map are no class ids.

    Args:
        fault: which, and where.
        hint: what to do about it in files and on the command line; may be empty.
        fraction: fraction of the pixels that hold such values.
    """

    # Defaults, since worker processes pass errors on by their text.
    def __init__(self, fault: str, hint: str = "", fraction: float = 1.0) -> None:
        super().__init__(fault + hint)
        self.fault, self.fraction = fault, fraction


def read_label_map(
    source: LabelSource,
    labels: LabelSet,
    *,
    size: tuple[int, int] | None = None,
    resize: bool = False,
    tolerance: int = 8,
) -> np.ndarray:
    """Read a label map as class ids; unknown pixels get a class, see :func:`read_partial_label_map`.

    Args:
        source: path or PIL image in an index mode (8 or 16 bit; the pixel value is the class id) or in RGB(A)
            colours of the palette; integer array or tensor [H, W] of ids; array [H, W, 3 or 4] of colours. An indexed
            picture is read by its colours if all that occur are those of classes, and by its indices otherwise; equal
            channels hold ids unless they are exactly colours of classes. Where that is not the only possible reading,
            the log says so. What lossy compression has smeared is not read as ids.
        labels: label set.
        size: (height, width) that the map must have.
        resize: whether to resize (nearest) a map of the same proportions to ``size``.
        tolerance: largest difference of a colour channel from the palette's.

    Returns:
        int64 [H, W]; a file's EXIF orientation has turned it, as it turns photos.

    Raises:
        ValueError: for a wrong mode, size, colour or id; the message says which value, and at how many pixels.
    """
    return read_partial_label_map(source, labels, size=size, resize=resize, tolerance=tolerance)[0]


def read_partial_label_map(
    source: LabelSource,
    labels: LabelSet,
    *,
    size: tuple[int, int] | None = None,
    resize: bool = False,
    tolerance: int = 8,
    tell: Tell | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Read a label map as class ids, and which of its pixels the label set says to ignore.

    Args:
        source: as :func:`read_label_map` takes it.
        labels: label set.
        size: (height, width) that the map must have.
        resize: whether to resize a map of the same proportions to ``size``.
        tolerance: largest difference of a colour channel from the palette's.
        tell: told which of two possible readings was taken; by default the log, as a warning.

    Returns:
        (int64 [H, W], bool [H, W]): class ids, those of unknown pixels filled in by
        :func:`groupdnet_hub.data.unknown.fill_unknown`; and which pixels are unknown.

    Raises:
        ValueError: as :func:`read_label_map`, and for a map without a known pixel.
    """
    name = f" {Path(source).name!r}" if isinstance(source, (str, os.PathLike)) else ""
    tell = tell or _log.warning
    ids = _read_ids(source, labels, tolerance, lambda text: tell(f"label map{name}: {text}"))
    return fill_unknown(_sized(ids, size, resize), labels)


def _sized(ids: np.ndarray, size: tuple[int, int] | None, resize: bool) -> np.ndarray:
    if size is None or ids.shape == tuple(size):
        return ids
    given, needed = f"{ids.shape[0]}x{ids.shape[1]}", f"{size[0]}x{size[1]}"
    if not resize:
        raise ValueError(
            f"the label map is {given} (height x width) and must be {needed}: resize it without smoothing (nearest), "
            "or pass resize=True"
        )
    ratio, needed_ratio = ids.shape[1] / ids.shape[0], size[1] / size[0]
    if abs(ratio / needed_ratio - 1) > _ASPECT_TOLERANCE:
        raise ValueError(
            f"the label map is {given} (height x width), which has other proportions than the {needed} needed "
            f"(width / height {ratio:.3f}, not {needed_ratio:.3f}): crop it or pad it"
        )
    return resize_map(ids, size)


def read_instance_map(source: LabelSource, *, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an instance map as int64 [H, W]: non-negative ids of 8, 16 or 32 bit.

    Args:
        source: path or PIL image in an index mode, or integer array or tensor [H, W].
        size: (height, width) to resize it to (nearest); by default its own.

    Raises:
        ValueError: for colours, other modes and negative ids.
    """
    if isinstance(source, Tensor):
        source = source.cpu().numpy()
    if not isinstance(source, np.ndarray):
        carrier = carrier_of(source)
        picture = open_picture(source, what="instance map", upright=True)
        if picture.mode not in _INDEX_MODES:
            raise ValueError(
                f"the instance map is in mode {picture.mode}; save it as an 8 or 16 bit index picture"
            )
        _refuse_lossy(carrier, picture, "instance map")
        source = np.asarray(picture)
    ids = _integer_array(source, "instance map")
    if ids.min() < 0:
        raise ValueError(f"the instance map holds the id {ids.min()}; ids are 0 or more")
    if size is not None and ids.shape != tuple(size):
        return resize_map(ids, size)
    return ids


def _read_ids(source: LabelSource, labels: LabelSet, tolerance: int, tell: Tell) -> np.ndarray:
    if isinstance(source, Tensor):
        source = source.cpu().numpy()
    if isinstance(source, np.ndarray):
        channels = source.shape[2] if source.ndim == 3 and source.size else 0
        if channels in (3, 4) and (source.dtype == np.uint8 or (channels == 3 and source.dtype.kind in "iu")):
            return _ids_of_colours(_as_bytes(source), labels, tolerance, tell)
        return _checked_ids(_integer_array(source, "label map"), labels)
    carrier = carrier_of(source)
    picture = open_picture(source, what="label map", upright=True)
    if picture.mode in _COLOUR_MODES:
        return _ids_of_colours(np.asarray(picture), labels, tolerance, tell, carrier)
    if picture.mode not in _INDEX_MODES:
        raise ValueError(
            f"the label map is in mode {picture.mode}; save it as an index picture (8 or 16 bit grey, or palette) or "
            "in RGB with the palette's colours"
        )
    _refuse_lossy(carrier, picture, "label map")
    values = np.asarray(picture)
    if picture.mode == "P":
        return _ids_of_indices(picture, values, labels, tolerance, tell)
    if picture.mode == "L":
        return _ids_of_greys(values, carrier.bits, labels, tolerance, tell)
    return _checked_ids(values.astype(np.int64), labels)


def _refuse_lossy(carrier: Carrier, picture: Image.Image, what: str) -> None:
    # Its smeared values are often ids of other classes, which nothing would detect later.
    if carrier.lossy:
        kind = "grey JPEG" if carrier.lossy == "JPEG" and picture.mode == "L" else carrier.lossy
        raise ValueError(f"the {what} is a {kind}, which smears ids: save it as PNG")


def _integer_array(values: np.ndarray, what: str) -> np.ndarray:
    if values.ndim != 2 or values.dtype.kind not in "iu" or values.size == 0:
        raise ValueError(
            f"the {what} is an array {values.dtype} {values.shape}; it must hold whole numbers, [height, width]"
        )
    return values.astype(np.int64)


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 255:
        raise ValueError(
            f"the label map is an array {pixels.dtype} {pixels.shape} with values from {low} to {high}; colours are 0 "
            "to 255, and ids go into an array [height, width]"
        )
    return pixels.astype(np.uint8, copy=False)


# -- from the pixels of one kind of picture ------------------------------------------------------------------------


def _ids_of_indices(
    picture: Image.Image, indices: np.ndarray, labels: LabelSet, tolerance: int, tell: Tell
) -> np.ndarray:
    """Return the ids of a picture in mode P, whose pixels are positions in its palette."""
    counts = np.bincount(indices.reshape(-1), minlength=256)
    used = np.flatnonzero(counts)
    palette = _palette_of(picture)
    # An index beyond a short palette has no colour, and one beyond the classes' own palette is not a class.
    is_own = np.array_equal(palette[: len(labels)], labels.palette)
    if not is_own and used[-1] < len(palette):
        colours = nearest_classes(palette[used], labels)
        compact = picture.format == "GIF" or not np.delete(palette, used, axis=0).any()
        decided = ids_of_palette(colours, used, compact, labels, tolerance, tell)
        clear = counts[_transparent(picture, len(palette))].sum()
        if clear and decided is not None and not np.array_equal(decided, used):
            raise ValueError(f"{clear} pixels of the label map are transparent: save it without transparency")
    else:
        decided = as_ids(used, labels)
    if decided is None:
        raise _no_ids(indices.astype(np.int64), labels)
    table = np.zeros(256, dtype=np.int64)
    table[used] = decided
    return table[indices]


def _palette_of(picture: Image.Image) -> np.ndarray:
    """Return the colours of a picture in mode P, uint8 [N, 3], without the black that writers fill palettes up with."""
    palette = np.asarray(picture.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    coloured = np.asarray(palette.any(axis=1))
    filled = len(palette) - int(coloured[::-1].argmax()) if coloured.any() else 0
    return palette if not len(palette) else palette[: max(filled, int(coloured.argmin()) + 1)]


def _transparent(picture: Image.Image, count: int) -> list[int]:
    """Return the positions of a palette's colours that are not opaque."""
    told = picture.info.get("transparency")
    if isinstance(told, bytes):
        return [index for index, alpha in enumerate(told[:count]) if alpha != 255]
    return [told] if isinstance(told, int) and 0 <= told < count else []


def _ids_of_greys(values: np.ndarray, bits: int, labels: LabelSet, tolerance: int, tell: Tell) -> np.ndarray:
    used = np.flatnonzero(np.bincount(values.reshape(-1), minlength=256))
    decided = ids_of_greys(used.astype(np.uint8), bits, labels, tolerance, tell)
    if decided is None:
        raise _no_ids(values.astype(np.int64), labels)
    table = np.zeros(256, dtype=np.int64)
    table[used] = decided
    return table[values]


def _ids_of_colours(
    pixels: np.ndarray, labels: LabelSet, tolerance: int, tell: Tell, carrier: Carrier | None = None
) -> np.ndarray:
    """Return the ids of uint8 [H, W, 3 or 4]."""
    carrier = carrier or Carrier()
    if pixels.shape[2] == 4:
        clear = int((pixels[:, :, 3] != 255).sum())
        if clear:
            raise ValueError(f"{clear} pixels of the label map are transparent: save it without transparency")
    if carrier.bits > 8:
        raise ValueError(
            f"the label map has {carrier.bits} bits a colour channel, of which 8 would be read: save it with 8"
        )
    # A file of a few kilobytes may hold millions of pixels: take four bytes each, not several times eight.
    packed = pixels[:, :, 0].astype(np.uint32)
    for channel in (1, 2):
        packed <<= 8
        packed |= pixels[:, :, channel]
    packed_colours, counts = np.unique(packed, return_counts=True)
    found = np.stack((packed_colours >> 16, (packed_colours >> 8) & 255, packed_colours & 255), axis=1)
    colours = nearest_classes(found.astype(np.uint8), labels)
    if carrier.lossy and colours.is_grey and not colours.exact:
        raise ValueError(f"the label map is a {carrier.lossy}, which smears ids: save it as PNG")
    decided = ids_of_colours(colours, labels, tolerance, tell)
    if decided is None:
        if (colours.distance <= tolerance).all():
            raise _no_ids(pixels[:, :, 0].astype(np.int64), labels)
        raise _no_colours(colours, counts, labels, tolerance, carrier)
    ids = np.empty(packed.shape, dtype=np.int64)
    for ids_row, packed_row in zip(ids, packed, strict=True):
        ids_row[:] = decided[np.searchsorted(packed_colours, packed_row)]
    return ids


# -- what is refused ---------------------------------------------------------------------------------------------------


def _checked_ids(values: np.ndarray, labels: LabelSet) -> np.ndarray:
    ids = as_ids(values, labels)
    if ids is None:
        raise _no_ids(values, labels)
    return ids


def _no_ids(values: np.ndarray, labels: LabelSet) -> ValueError:
    """Return the refusal of values int64 [H, W], not all of which are ids."""
    wrong = ((values < 0) | (values >= len(labels))) & ~np.isin(values, labels.ignored_ids)
    found, counts = np.unique(values[wrong], return_counts=True)
    first, count = int(found[counts.argmax()]), int(counts.max())
    row, column = np.unravel_index(int((values == first).argmax()), values.shape)
    others = f", and {len(found) - 1} other values are wrong too" if len(found) > 1 else ""
    shown = ", ".join(labels.names[:12]) + (", ..." if len(labels) > 12 else "")
    hint = (
        f'. If it stands for unknown pixels, add "ignore": [{first}] to classes.json, or --ignore_id {first} '
        "to the command line"
        if first in _OFTEN_UNKNOWN
        else ""
    )
    fault = (
        f"the label map's value {first} is not a class id: {count} pixels hold it (the first at row {row}, column "
        f"{column}){others}; the ids are 0 to {len(labels) - 1} ({shown})"
    )
    return NoIdsError(fault, hint, float(wrong.mean()))


def _no_colours(
    colours: Colours, counts: np.ndarray, labels: LabelSet, tolerance: int, carrier: Carrier
) -> ValueError:
    """Return the refusal of colours that occur ``counts`` times and are not all those of classes."""
    unknown = colours.distance > tolerance
    worst = np.flatnonzero(unknown)[counts[unknown].argmax()]
    others = f", and {int(unknown.sum()) - 1} other colours are unknown too" if unknown.sum() > 1 else ""
    near = int(colours.ids[worst])
    nearest = (
        "that of unknown pixels" if near == UNKNOWN else f"{labels.names[near]!r}, {labels.palette[near]}"
    )
    hint = f" {carrier.lossy} smears colours: save label maps as PNG." if carrier.lossy else ""
    return ValueError(
        f"the colour {tuple(int(v) for v in colours.found[worst])} is not in the palette: {int(counts[worst])} pixels "
        f"of the label map have it{others}; the nearest class is {nearest}.{hint}"
    )
