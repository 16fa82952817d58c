"""Contact sheets: for each class, label maps and pictures that differ in the code of that class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from groupdnet_hub.data.labels import colour_picture
from groupdnet_hub.evaluation.inputs import Inputs
from groupdnet_hub.io.images import tensor_to_picture
from groupdnet_hub.training.reports.preview import save_picture


def sheet_rows(inputs: Inputs, indices: Sequence[int], class_id: int, rows: int) -> list[int]:
    """Return the first ``rows`` of the items whose label maps show a class."""
    return [index for index in indices if class_id in inputs.present[index]][:rows]


@torch.inference_mode()
def class_sheet(inputs: Inputs, indices: Sequence[int], class_id: int, columns: int) -> Image.Image:
    """Draw a row per label map: the map, then the first pictures that mCSD and mOCD of the class compare.

    A system without per-class codes redraws all of its code.

    Args:
        inputs: what is measured.
        indices: items of the rows.
        class_id: id of the class.
        columns: number of pictures in a row.
    """
    chosen = class_id if inputs.system.has_class_codes else None
    rows = []
    for index in indices:
        redrawing = inputs.redrawing(index)
        unknown = None if redrawing.unknown is None else redrawing.unknown.numpy()
        row = [colour_picture(redrawing.label, inputs.data.labels, unknown)]
        for pictures in redrawing.pictures(redrawing.prepare(), redrawing.codes(chosen, columns)):
            row += [tensor_to_picture(picture) for picture in pictures]
        rows.append(row)
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (width * (columns + 1), height * len(rows)))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture, (x * width, y * height))
    return sheet


def save_sheet(sheet: Image.Image, folder: Path, class_id: int, name: str) -> None:
    """Write a sheet under the class's id and name."""
    safe_name = re.sub(r"[^\w.-]+", "_", name)
    save_picture(sheet, folder / f"{class_id:03d}-{safe_name}.png")
