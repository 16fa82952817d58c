"""Looks as a session keeps them: the bytes of a saved look, a tenth of its memory, with what lists show of it."""

from __future__ import annotations

import hashlib
import io
import weakref
from typing import Any

import numpy as np
from PIL import Image

from groupdnet_hub import Look
from groupdnet_hub.data.labels import colour_picture

from .light_looks import light

# Pixels of the longer side.
THUMBNAIL = 112
# What the looks that are in use were packed to, so that going back and forth among pictures packs none of them again.
_PACKED: weakref.WeakKeyDictionary[Look, PackedLook] = weakref.WeakKeyDictionary()


class PackedLook:
    """A look as the bytes that ``Look.save`` writes to a ``.zip``, and what lists show of it.

    Attributes:
        key: digest of the picture, the label map, the codes and the seed: looks with one key are the same.
        archive: the bytes.
        seed: as in the look.
        classes: names of the classes on its label map.
        thumbnail, map_thumbnail: the small picture (WEBP) and label map (PNG).
    """

    def __init__(self, look: Look) -> None:
        self.key = _digest(look)
        self.archive = look.to_bytes()
        self.seed = look.seed
        self.classes = look.classes
        self.thumbnail = thumbnail(look.image)
        self.map_thumbnail = thumbnail(colour_picture(look.mask, look.codes.labels), sharp=True)
        self._look: weakref.ref[Look] | None = weakref.ref(look)

    def __getstate__(self) -> dict[str, Any]:
        # A ZeroGPU Space runs calls in another process.
        return {**vars(self), "_look": None}

    def __repr__(self) -> str:
        return f"PackedLook({self.key[:8]}, {len(self.archive) / 1024:.0f} KiB)"

    @property
    def look(self) -> Look:
        """The look: the one that was packed while it is still in use, else one that equals it to the bit."""
        look = None if self._look is None else self._look()
        if look is None:
            look = light(Look.from_bytes(self.archive))
            self._look = weakref.ref(look)
            _PACKED[look] = self
        return look


def packed(look: Look) -> PackedLook:
    """Return a look as a session keeps it."""
    look = light(look)
    found = _PACKED.get(look)
    if found is None:
        found = _PACKED[look] = PackedLook(look)
    return found


def thumbnail(picture: Image.Image, *, sharp: bool = False) -> bytes:
    """Return a small picture as a file, WEBP or, if ``sharp``, for label maps, whose colours must not mix, PNG."""
    scale = THUMBNAIL / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    buffer = io.BytesIO()
    if sharp:
        picture.resize(size, Image.Resampling.NEAREST).save(buffer, "PNG")
    else:
        picture.resize(size, Image.Resampling.BICUBIC).save(buffer, "WEBP", quality=80, method=0)
    return buffer.getvalue()


def _digest(look: Look) -> str:
    parts = [
        look.image.tobytes(),
        look.mask.tobytes(),
        look.codes.tensor.numpy().tobytes(),
        repr(look.seed).encode(),
    ]
    if look.instance is not None:
        parts.append(np.ascontiguousarray(look.instance).tobytes())
    return hashlib.sha256(b"".join(parts)).hexdigest()
