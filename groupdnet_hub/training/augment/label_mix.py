"""LabelMix: real and generated pictures mixed along the edges of their label map.

After Schoenfeld et al., "You Only Need Adversarial Supervision for Semantic Image Synthesis" (ICLR 2021): a
per-pixel discriminator should say of a mixed picture what it says of its parts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from groupdnet_hub.training.shared_stream import RunSeed, SharedStream, StreamId


class LabelMix(SharedStream):
    """Draws for each class of each picture whether it comes from the real or from the generated one.

    Args:
        num_classes: of the label maps.
    """

    stream_id = StreamId.LABEL_MIX

    def __init__(self, num_classes: int, seed: RunSeed) -> None:
        super().__init__(seed)
        self.num_classes = num_classes

    def mask(self, target: Tensor) -> Tensor:
        """Return where a mixed picture is the real one: bool [B, 1, H, W].

        Args:
            target: int64 [B, H, W], -1 where a pixel has no class: there too all of a picture comes from one.
        """
        # One column more, the last, for pixels without a class: -1 is it.
        real = self.uniform(len(target), self.num_classes + 1, device=target.device) < 0.5
        items = torch.arange(len(target), device=target.device)[:, None, None]
        return real[items, target][:, None]


def mix(mask: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """Return real [B, channels, H, W] where the mask [B, 1, H, W] says so, else fake."""
    return torch.where(mask, real, fake)
