"""What a parser makes of a whole photo, whatever its proportions."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.metrics.segmenter import Segmenter


def parse(segmenter: Segmenter, photo: Image.Image) -> np.ndarray:
    """Probabilities of the classes, float32 [C, H, W]: the mean of those for the photo and for its mirror image."""
    return parse_both(segmenter, photo).mean(axis=0)


def parse_both(segmenter: Segmenter, photo: Image.Image) -> np.ndarray:
    """Probabilities of the classes, float32 [2, C, H, W]: for the photo, and for its mirror image, mirrored back.

    A photo that is not square is parsed within a square of its longer side, so that the person keeps her proportions.
    """
    square = _in_square(photo)
    with torch.no_grad():
        both = segmenter.probabilities(torch.cat((square, square.flip(-1))))
    return _without_padding(torch.stack((both[0], both[1].flip(-1))), photo)


def parse_once(segmenter: Segmenter, photo: Image.Image) -> np.ndarray:
    """Probabilities of the classes, float32 [C, H, W], as :func:`parse` without the mirror image: in half the time."""
    with torch.no_grad():
        return _without_padding(segmenter.probabilities(_in_square(photo)), photo)[0]


def _in_square(photo: Image.Image) -> Tensor:
    """uint8 [1, 3, S, S]: the photo in the middle, its border pixels repeated outwards."""
    pixels = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)
    height, width = pixels.shape[1:]
    side, (top, left) = max(height, width), _margins(photo)
    padding = (left, side - width - left, top, side - height - top)
    return F.pad(pixels[None].float(), padding, mode="replicate").to(torch.uint8)


def _without_padding(shares: Tensor, photo: Image.Image) -> np.ndarray:
    """[..., S, S] -> [..., H, W]."""
    top, left = _margins(photo)
    return shares[..., top : top + photo.height, left : left + photo.width].numpy()


def _margins(photo: Image.Image) -> tuple[int, int]:
    """Rows above the photo and columns to the left of it in its square."""
    side = max(photo.size)
    return (side - photo.height) // 2, (side - photo.width) // 2
