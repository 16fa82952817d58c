"""The label canvas: a label map to paint on, pixel by pixel, at the model's size."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from groupdnet_hub import LabelSet
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.labels import colour_picture

from .components import data_url, named_colours, script

_PREFIX = "data:image/png;base64,"
# A PNG of this many bytes per pixel is no map of few colours.
_BYTES_PER_PIXEL = 5
_PARTS = ("icons", "view", "palette", "palette_keys", "tools", "screen", "input")
_SCRIPTS = ("label_map", "strokes", *(f"painter_{part}" for part in _PARTS), "painter")


@dataclass(frozen=True)
class Stroke:
    """What was painted at once.

    Attributes:
        before: the label map that it was painted on, int64 [H, W]; the session may have another one by now.
        after: that map with the stroke.
        number: strokes of a page are counted from 1.
    """

    before: np.ndarray
    after: np.ndarray
    number: int

    def painted_on(self, label: np.ndarray) -> np.ndarray:
        """Return a label map int64 [H, W] with what the stroke changed."""
        return np.where(self.before == self.after, label, self.after)


def painter(
    elem_id: str,
    labels: LabelSet,
    size: tuple[int, int],
    value: str | None = None,
    *,
    actions: bool = False,
    picture: str | None = None,
) -> gr.HTML:
    """Lay out the canvas with its tools and a button for each class.

    Its value is the map as the data URL of a PNG in the palette's colours, and it sends ``paint`` when the map was
    changed. With ``actions`` it is a session's: ``paint`` has a stroke for :func:`read_stroke`, and there are ``undo``,
    ``redo``, ``reroll`` (``class``: a name) and ``lock`` (``locked``: names).

    Args:
        elem_id: its id on the page.
        labels: the classes.
        size: (height, width) of the map.
        value: the map at first.
        actions: whether it is a session that undoes strokes, and redraws and locks classes; else the canvas remembers
            strokes by itself.
        picture: id of the picture of the map, on which classes can be pointed at.
    """
    # gradio learns the names of a component's events from its script: "paint", "undo", "reroll" and so on.
    return gr.HTML(
        value,
        html_template='<div class="painter"></div>',
        js_on_load=script(*(f"{name}.js" for name in _SCRIPTS)),
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes="painter-holder",
        height=size[0],
        width=size[1],
        classes=named_colours(labels),
        actions=actions,
        picture=picture,
        can_undo=False,
        can_redo=False,
        strokes=0,
        refused=0,
        backdrop=None,
        fixed_classes=[],
        locks=None,
    )


def canvas_value(label: np.ndarray, labels: LabelSet) -> str:
    """Return a label map int [H, W] as the canvas takes it."""
    return data_url(colour_picture(label, labels))


def read_canvas(value: object, labels: LabelSet, size: tuple[int, int]) -> np.ndarray:
    """Return the label map int64 [H, W] that a canvas holds.

    Raises:
        ValueError: for anything but a PNG of the canvas's size in the palette's colours; values come from the
            visitor's browser, and may be anything.
    """
    if not isinstance(value, str) or not value.startswith(_PREFIX):
        raise ValueError("the canvas sent no PNG: reload the page.")
    height, width = size
    if len(value) > len(_PREFIX) + 2 * _BYTES_PER_PIXEL * height * width + 4096:
        raise ValueError(f"the canvas sent more than a map of {height}x{width} takes: reload the page.")
    try:
        file = io.BytesIO(base64.b64decode(value[len(_PREFIX) :], validate=True))
        with Image.open(file, formats=["PNG"]) as picture:
            sent = picture.size
            pixels = picture.convert("RGB") if sent == (width, height) else None
    except Exception:  # Pillow has dozens for damaged files
        raise ValueError("the canvas sent a PNG that cannot be read: reload the page.") from None
    if pixels is None:
        raise ValueError(f"the canvas sent a map of {sent[1]}x{sent[0]}; this model's are {height}x{width}.")
    return read_label_map(np.asarray(pixels), replace(labels, ignore=()))  # nothing is painted as unknown


def read_stroke(sent: Mapping[str, Any], labels: LabelSet, size: tuple[int, int]) -> Stroke:
    """Return the stroke that a canvas sent.

    Raises:
        ValueError: as :func:`read_canvas`, and if it has no number.
    """
    number = sent.get("number")
    if type(number) is not int:
        raise ValueError("the canvas sent no numbered stroke: reload the page.")
    before, after = (read_canvas(sent.get(when), labels, size) for when in ("before", "after"))
    return Stroke(before, after, number)
