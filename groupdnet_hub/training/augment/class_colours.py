"""Random hues for some classes of the training pictures, so that rare colours are not rare: not in the paper.

Most clothes of a few thousand photos are black, grey, white or blue; a model that saw a handful of yellow skirts draws
the next one beige. A hue that is turned, in the picture that is encoded and drawn alike, has the codes tell any colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from groupdnet_hub.training.shared_stream import RunSeed, SharedStream, StreamId


class ClassColours(SharedStream):
    """Turns the hue of some classes of some pictures by random angles; grey stays grey.

    Args:
        class_ids: ids of the classes, each with angles of its own.
        fraction: how many of the pictures are changed, for each class; from 0 to 1.
    """

    stream_id = StreamId.CLASS_COLOURS

    def __init__(self, class_ids: Sequence[int], fraction: float, seed: RunSeed) -> None:
        super().__init__(seed)
        self.class_ids, self.fraction = tuple(class_ids), fraction

    def __call__(self, image: Tensor, label: Tensor) -> Tensor:
        """Recolour pictures [B, 3, H, W] in [-1, 1] of label maps int64 [B, H, W]."""
        draws = self.uniform(len(label), len(self.class_ids), 2, device=image.device)
        chosen = draws[..., 0] < self.fraction
        turned = hue_rotations(draws[..., 1] * (2 * math.pi)).to(image.dtype)
        for i, class_id in enumerate(self.class_ids):
            region = (label == class_id) & chosen[:, i, None, None]
            recoloured = torch.einsum("bij,bjhw->bihw", turned[:, i], image)
            image = torch.where(region[:, None], recoloured.clamp(-1, 1), image)
        return image


def hue_rotations(angles: Tensor) -> Tensor:
    """Return rotations about the grey axis, which keep the mean of red, green and blue: [...] -> [..., 3, 3].

    By a third of a circle red becomes green, green blue and blue red (Rodrigues' formula).
    """
    cosine, sine = angles.cos()[..., None, None], angles.sin()[..., None, None] / math.sqrt(3)
    grey = angles.new_full((3, 3), 1 / 3)
    own = torch.eye(3, device=angles.device, dtype=angles.dtype)
    next_one = own.roll(1, dims=1)
    return cosine * own + (1 - cosine) * grey + sine * (next_one.T - next_one)
