"""Pictures in the rows of a Hugging Face data set, taken as their files are.

``datasets`` turns a picture by its EXIF orientation as it decodes it, and forgets the orientation: whether a photo and
its label map are turned alike could not be told any more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from groupdnet_hub.io.images import picture_in_bytes


def undecoded(rows: Any, columns: Iterable[str]) -> Any:
    """Return a data set whose rows hold the files of pictures in place of decoded ones.

    Args:
        rows: data set, streamed or not. Anything else is returned as it is, and so is one that is decoded in a way of
            its own (``set_format``, a colour mode). A stream that was filtered goes on decoding.
        columns: names of the columns with pictures, as far as there are.
    """
    features = getattr(rows, "features", None)
    own_way = getattr(rows, "format", None) or {}
    if not features or not hasattr(rows, "cast_column") or own_way.get("type") is not None:
        return rows
    from datasets import Image

    for column in columns:
        feature = features.get(column)
        if isinstance(feature, Image) and feature.decode and feature.mode is None:
            rows = rows.cast_column(column, Image(decode=False))
    return rows


def picture_in(value: Any) -> Any:
    """Return the picture in a cell of a row as the strict readers take it: a path or a PIL image.

    Args:
        value: a file as ``{"bytes": ..., "path": ...}``; anything else is returned as it is.

    Raises:
        ValueError: for bytes that are not those of a picture.
    """
    if not isinstance(value, dict) or not {"bytes", "path"} <= set(value):
        return value
    if value["bytes"] is not None:
        return picture_in_bytes(value["bytes"])
    if isinstance(value["path"], str) and os.path.isfile(value["path"]):
        return Path(value["path"])
    from datasets import Image

    return Image().decode_example(value)  # a file on another machine
