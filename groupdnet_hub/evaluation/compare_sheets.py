"""Sheets of several models on one label map: rows are classes, each redrawn with the same seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from groupdnet_hub import LabelSet
from groupdnet_hub.baselines import System
from groupdnet_hub.data.labels import classes_present, colour_picture
from groupdnet_hub.io.images import tensor_to_picture
from groupdnet_hub.metrics import Redrawing

_GAP, _HEADER = 8, 16
_FADED = 0.25


def comparison_sheet(
    systems: Mapping[str, System], labels: Mapping[str, Tensor], *, seed: int, columns: int, height: int
) -> Image.Image:
    """Draw a row for each class of a map: the map with that class highlighted, then each model's pictures.

    The pictures of a row differ in the code of its class only; those of a system without per-class codes, in all of it.

    Args:
        systems: systems by the name above their pictures.
        labels: label map at each system's size, int64 [H, W].
        seed: seed of the codes.
        columns: number of pictures of each system in a row.
        height: height of a picture in pixels.
    """
    first = next(iter(systems))
    label_set = systems[first].labels
    H, W = labels[first].shape
    cell = (round(height * W / H), height)
    block = columns * cell[0] + _GAP
    classes = classes_present(labels[first], len(label_set.names))
    sheet = Image.new(
        "RGB", (cell[0] + _GAP + len(systems) * block, _HEADER + len(classes) * (cell[1] + _HEADER)), "white"
    )
    write = ImageDraw.Draw(sheet)
    for number, name in enumerate(systems):
        write.text((cell[0] + _GAP + number * block, 2), name, fill="black")
    for row, class_id in enumerate(classes):
        top = _HEADER + row * (cell[1] + _HEADER)
        highlighted = _highlighted(labels[first], class_id, label_set).resize(cell, Image.Resampling.NEAREST)
        sheet.paste(highlighted, (0, top))
        write.text((0, top + cell[1] + 2), label_set.names[class_id], fill="black")
        for number, (name, system) in enumerate(systems.items()):
            left = cell[0] + _GAP + number * block
            for column, picture in enumerate(_redrawn(system, labels[name], class_id, seed, columns)):
                small = picture.resize(cell, Image.Resampling.LANCZOS)
                sheet.paste(small, (left + column * cell[0], top))
    return sheet


@torch.inference_mode()
def _redrawn(system: System, label: Tensor, class_id: int, seed: int, count: int) -> Sequence[Image.Image]:
    redrawing = Redrawing(system, label, seed)
    codes = redrawing.codes(class_id if system.has_class_codes else None, count)
    return [
        tensor_to_picture(picture.cpu())
        for pictures in redrawing.pictures(redrawing.prepare(), codes)
        for picture in pictures
    ]


def _highlighted(label: Tensor, class_id: int, labels: LabelSet) -> Image.Image:
    """Return a map in its colours, with all classes but one faded."""
    colours = np.asarray(colour_picture(label, labels)).astype(np.float32)
    others = (label != class_id).numpy()
    colours[others] = 255 - _FADED * (255 - colours[others])
    return Image.fromarray(colours.astype(np.uint8))
