"""The appearance of every generated picture, which depends on its seed and the classes of its label map alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from groupdnet_hub import AppearanceCodes, GroupDNet
from groupdnet_hub.generation.inputs import Gallery


def choose_photos(gallery: Gallery | None, seed: int, classes: Sequence[int]) -> dict[int, int]:
    """Return the photo of the gallery for each class on a map, by class id; empty without a gallery."""
    return {} if gallery is None else gallery.choose(seed, classes)


def draw_codes(
    model: GroupDNet, gallery: Gallery | None, seed: int, classes: Sequence[int]
) -> AppearanceCodes:
    """Draw the codes of one picture: every class from the prior, then those of the gallery's photos (section 4.4).

    Args:
        model: model.
        gallery: photos whose codes some classes take; None for none.
        seed: seed of the picture.
        classes: ids of the classes on its label map, to which the gallery is limited.
    """
    # On the CPU, so that one seed gives one appearance on every device.
    generator = torch.Generator().manual_seed(seed)
    tensor = model.sample_codes(generator=generator)[0].float().cpu()
    if gallery is not None:
        for class_id, photo in choose_photos(gallery, seed, classes).items():
            tensor[class_id] = gallery.codes(photo)[class_id]
    return AppearanceCodes(tensor, model.labels)
