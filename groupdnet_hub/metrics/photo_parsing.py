"""What a parser makes of a photo and of its mirror image."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from groupdnet_hub.metrics.segmenter import Segmenter


def parse(segmenter: Segmenter, photo: Image.Image) -> np.ndarray:
    """Probabilities of the classes, float32 [C, H, W]: the mean of those for the photo and for its mirror image."""
    return parse_both(segmenter, photo).mean(axis=0)


def parse_both(segmenter: Segmenter, photo: Image.Image) -> np.ndarray:
    """Probabilities of the classes, float32 [2, C, H, W]: for the photo, and for its mirror image, mirrored back."""
    pixels = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)[None]
    with torch.no_grad():
        both = segmenter.probabilities(torch.cat((pixels, pixels.flip(-1))))
    return torch.stack((both[0], both[1].flip(-1))).numpy()


def parse_once(segmenter: Segmenter, photo: Image.Image) -> np.ndarray:
    """Probabilities of the classes, float32 [C, H, W], as :func:`parse` without the mirror image: in half the time."""
    pixels = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)[None]
    with torch.no_grad():
        return segmenter.probabilities(pixels)[0].numpy()
