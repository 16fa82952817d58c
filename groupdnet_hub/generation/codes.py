"""The appearance of every generated picture: a function of the seed, the label map's number and the picture's."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from groupdnet_hub import AppearanceCodes, GroupDNet
from groupdnet_hub.generation.inputs import Gallery


def choose_photos(gallery: Gallery | None, seed: int, classes: Sequence[int]) -> dict[int, int]:
    """Which photo of the gallery each class on the map looks like, by class id; none without a gallery."""
    return {} if gallery is None else gallery.choose(seed, classes)


def draw_codes(
    model: GroupDNet, gallery: Gallery | None, seed: int, classes: Sequence[int]
) -> AppearanceCodes:
    """Codes of one picture: every class from the prior, then those of the gallery's photos (section 4.4).

    Args:
        seed: that of the picture.
        classes: ids of the classes on its label map; only these are taken from the gallery.
    """
    # A generator on the CPU: one seed then means one appearance on every device.
    generator = torch.Generator().manual_seed(seed)
    tensor = model.sample_codes(generator=generator)[0].float().cpu()
    if gallery is not None:
        for class_id, photo in gallery.choose(seed, classes).items():
            tensor[class_id] = gallery.codes(photo)[class_id]
    return AppearanceCodes(tensor, model.labels)
