"""Looks as sessions hold those that are on the page: with the label map in a byte a pixel, where its ids fit."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from groupdnet_hub import Look

# What looks that are still in use became, so that each becomes one.
_LIGHT: weakref.WeakKeyDictionary[Look, LightLook] = weakref.WeakKeyDictionary()


class LightLook(Look):
    """A look whose label maps take the smallest integers that hold their ids.

    Whoever asks for ``mask`` or ``instance`` gets int64, as of any look, in an array of their own.
    """

    # The parent's constructor sets these, as properties of this class.
    @property
    def mask(self) -> np.ndarray:
        """The label map, int64 [H, W]."""
        return _wide(vars(self)["_mask"])

    @mask.setter
    def mask(self, ids: np.ndarray) -> None:
        vars(self)["_mask"] = _narrow(ids)

    @property
    def instance(self) -> np.ndarray | None:
        """The instance map, int64 [H, W]; None for models without instance edges."""
        ids = vars(self)["_instance"]
        return None if ids is None else _wide(ids)

    @instance.setter
    def instance(self, ids: np.ndarray | None) -> None:
        vars(self)["_instance"] = None if ids is None else _narrow(ids)

    @property
    def map_bytes(self) -> int:
        """How many bytes its label maps take."""
        return sum(ids.nbytes for ids in (vars(self)["_mask"], vars(self)["_instance"]) if ids is not None)


def light(look: Look) -> LightLook:
    """Return a look as a session holds it; the same for the same look."""
    if isinstance(look, LightLook):
        return look
    found = _LIGHT.get(look)
    if found is None:
        found = _LIGHT[look] = LightLook(look.image, look.codes, look.mask, look.seed, look.instance)
    return found


def _narrow(ids: np.ndarray) -> np.ndarray:
    least, most = (int(ids.min()), int(ids.max())) if ids.size else (0, 0)
    kind: Any = np.result_type(np.min_scalar_type(least), np.min_scalar_type(most))
    narrow = ids.astype(kind)
    narrow.flags.writeable = False
    return narrow


def _wide(ids: np.ndarray) -> np.ndarray:
    return ids.astype(np.int64)
