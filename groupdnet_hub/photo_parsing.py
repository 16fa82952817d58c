"""What a parser makes of a whole photo, whatever its proportions."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from groupdnet_hub.metrics.segmenter import Segmenter


def parse(segmenter: Segmenter, photo: Image.Image) -> np.ndarray:
    """Probabilities of the classes, float32 [C, H, W]: the mean of those for the photo and for its mirror image."""
    return parse_both(segmenter, photo).mean(axis=0)


def parse_both(segmenter: Segmenter, photo: Image.Image) -> np.ndarray:
    """Probabilities of the classes, float32 [2, C, H, W]: for the photo, and for its mirror image, mirrored back.

    A photo that is not square is parsed within a square of its longer side, so that the person keeps her proportions.
    """
    pixels = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)
    height, width = pixels.shape[1:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padding = (left, side - width - left, top, side - height - top)
    square = F.pad(pixels[None].float(), padding, mode="replicate").to(torch.uint8)
    with torch.no_grad():
        both = segmenter.probabilities(torch.cat((square, square.flip(-1))))
    both = torch.stack((both[0], both[1].flip(-1)))
    return both[:, :, top : top + height, left : left + width].numpy()
