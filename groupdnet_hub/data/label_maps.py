"""Reading label maps strictly: index pictures, palette colours, arrays."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image
from torch import Tensor

from groupdnet_hub.data.labels import LabelSet, resize_map
from groupdnet_hub.data.unknown import UNKNOWN, fill_unknown
from groupdnet_hub.io.images import open_picture

LabelSource = str | os.PathLike[str] | Image.Image | np.ndarray | Tensor

_INDEX_MODES = ("P", "L", "I", "I;16", "I;16B", "I;16L")
_COLOUR_MODES = ("RGB", "RGBA")
# Largest relative difference of a label map's proportions from the required ones at which it is resized.
_ASPECT_TOLERANCE = 0.02


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
            colours of the palette; integer array or tensor [H, W] of ids; uint8 array [H, W, 3 or 4] of colours. A
            palette picture whose indices are not class ids is read by its colours.
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
) -> tuple[np.ndarray, np.ndarray]:
    """Read a label map as class ids, and which of its pixels the label set says to ignore.

    Args:
        source: as :func:`read_label_map` takes it.
        labels: label set.
        size: (height, width) that the map must have.
        resize: whether to resize a map of the same proportions to ``size``.
        tolerance: largest difference of a colour channel from the palette's.

    Returns:
        (int64 [H, W], bool [H, W]): class ids, those of unknown pixels filled in by
        :func:`groupdnet_hub.data.unknown.fill_unknown`; and which pixels are unknown.

    Raises:
        ValueError: as :func:`read_label_map`, and for a map without a known pixel.
    """
    return fill_unknown(_sized(_read_ids(source, labels, tolerance), size, resize), labels)


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
        picture = open_picture(source, what="instance map", upright=True)
        if picture.mode not in _INDEX_MODES:
            raise ValueError(
                f"the instance map is in mode {picture.mode}; save it as an 8 or 16 bit index picture"
            )
        _refuse_grey_jpeg(picture, "instance map")
        source = np.asarray(picture)
    ids = _integer_array(source, "instance map")
    if ids.min() < 0:
        raise ValueError(f"the instance map holds the id {ids.min()}; ids are 0 or more")
    if size is not None and ids.shape != tuple(size):
        return resize_map(ids, size)
    return ids


def _read_ids(source: LabelSource, labels: LabelSet, tolerance: int) -> np.ndarray:
    if isinstance(source, Tensor):
        source = source.cpu().numpy()
    if isinstance(source, np.ndarray):
        if source.ndim == 3 and source.shape[2] in (3, 4) and source.dtype == np.uint8:
            return _ids_of_colours(source, labels, tolerance)
        return _checked_ids(_integer_array(source, "label map"), labels)
    picture = open_picture(source, what="label map", upright=True)
    if picture.mode in _COLOUR_MODES:
        hint = " JPEG smears colours: save label maps as PNG." if picture.format == "JPEG" else ""
        return _ids_of_colours(np.asarray(picture), labels, tolerance, hint)
    if picture.mode not in _INDEX_MODES:
        raise ValueError(
            f"the label map is in mode {picture.mode}; save it as an index picture (8 or 16 bit grey, or palette) or "
            "in RGB with the palette's colours"
        )
    _refuse_grey_jpeg(picture, "label map")
    ids = np.asarray(picture).astype(np.int64)
    if picture.mode == "P" and ids.max() >= len(labels):
        try:
            return _ids_of_colours(np.asarray(picture.convert("RGB")), labels, tolerance)
        except ValueError:
            pass  # its colours are not in the palette either: the message is about the indices
    return _checked_ids(ids, labels)


def _refuse_grey_jpeg(picture: Image.Image, what: str) -> None:
    # Its smeared values are often ids of other classes, which nothing would detect later.
    if picture.format in ("JPEG", "MPO"):
        raise ValueError(f"the {what} is a grey JPEG, and JPEG smears ids: save it as PNG")


def _integer_array(values: np.ndarray, what: str) -> np.ndarray:
    if values.ndim != 2 or values.dtype.kind not in "iu" or values.size == 0:
        raise ValueError(
            f"the {what} is an array {values.dtype} {values.shape}; it must hold whole numbers, [height, width]"
        )
    return values.astype(np.int64)


def _checked_ids(ids: np.ndarray, labels: LabelSet) -> np.ndarray:
    wrong = (ids < 0) | (ids >= len(labels))
    if labels.ignored_ids and wrong.any():
        unknown = wrong & np.isin(ids, labels.ignored_ids)
        wrong &= ~unknown
        if not wrong.any():
            return np.where(unknown, UNKNOWN, ids)
    if not wrong.any():
        return ids
    values, counts = np.unique(ids[wrong], return_counts=True)
    first, count = int(values[counts.argmax()]), int(counts.max())
    row, column = np.unravel_index(int((ids == first).argmax()), ids.shape)
    others = f", and {len(values) - 1} other values are wrong too" if len(values) > 1 else ""
    shown = ", ".join(labels.names[:12]) + (", ..." if len(labels) > 12 else "")
    raise ValueError(
        f"the label map's value {first} is not a class id: {count} pixels hold it (the first at row {row}, column "
        f"{column}){others}; the ids are 0 to {len(labels) - 1} ({shown})"
    )


def _ids_of_colours(pixels: np.ndarray, labels: LabelSet, tolerance: int, hint: str = "") -> np.ndarray:
    if pixels.shape[2] == 4:
        clear = int((pixels[:, :, 3] != 255).sum())
        if clear:
            raise ValueError(f"{clear} pixels of the label map are transparent: save it without transparency")
    # A file of a few kilobytes may hold millions of pixels: take four bytes each, not several times eight.
    packed = pixels[:, :, 0].astype(np.uint32)
    for channel in (1, 2):
        packed <<= 8
        packed |= pixels[:, :, channel]
    colours, counts = np.unique(packed, return_counts=True)
    found = np.stack((colours >> 16, (colours >> 8) & 255, colours & 255), axis=1).astype(np.uint8)
    # What is nearest to an ignored colour is unknown.
    palette = np.asarray(labels.palette + labels.ignored_colours, dtype=np.int16)
    nearest = np.empty(len(found), dtype=np.int64)
    distance = np.empty(len(found), dtype=np.int64)
    step = max(1, 2**19 // len(palette))  # a photo has many colours: in chunks, memory stays small
    for start in range(0, len(found), step):
        part = np.zeros((len(found[start : start + step]), len(palette)), dtype=np.int16)
        for channel in range(3):
            values = found[start : start + step, channel, None].astype(np.int16)
            np.maximum(part, np.abs(values - palette[:, channel]), out=part)
        nearest[start : start + step] = part.argmin(axis=1)
        distance[start : start + step] = part.min(axis=1)
    unknown = distance > tolerance
    if unknown.any():
        worst = np.flatnonzero(unknown)[counts[unknown].argmax()]
        others = f", and {int(unknown.sum()) - 1} other colours are unknown too" if unknown.sum() > 1 else ""
        near = int(nearest[worst])
        name = repr(labels.names[near]) if near < len(labels) else "that of unknown pixels"
        raise ValueError(
            f"the colour {tuple(int(v) for v in found[worst])} is not in the palette: {int(counts[worst])} pixels "
            f"of the label map have it{others}; the nearest class is {name}, "
            f"{tuple(palette[near].tolist())}.{hint}"
        )
    nearest[nearest >= len(labels)] = UNKNOWN
    ids = np.empty(packed.shape, dtype=np.int64)
    for ids_row, packed_row in zip(ids, packed, strict=True):
        ids_row[:] = nearest[np.searchsorted(colours, packed_row)]
    return ids
