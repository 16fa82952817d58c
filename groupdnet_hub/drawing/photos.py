"""The codes of a real photo: for each class that it shows, the mean of its posterior."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from groupdnet_hub.codes import AppearanceCodes
from groupdnet_hub.data.turned_pairs import check_orientations
from groupdnet_hub.data.unknown import grey_unknown
from groupdnet_hub.io.images import Source, photo_to_tensor, read_photo
from groupdnet_hub.models.groupdnet import GroupDNet

# Largest relative difference of the proportions of a photo and its label map; within it the photo is resized.
_ASPECT_TOLERANCE = 0.02


def warn_if_turned(photo: object, photo_mask: object) -> None:
    """Warn where an EXIF orientation turns one of the two and their sizes do not tell whether they fit.

    Raises:
        ValueError: where their sizes tell that they do not.
    """
    doubt = check_orientations(photo, photo_mask, proportions=True)
    if doubt is not None:
        warnings.warn(doubt, stacklevel=5)  # at the line that called the pipeline


def with_unknown(hidden: np.ndarray, unknown: np.ndarray | None) -> np.ndarray:
    """Return the unknown pixels bool [H, W] of a label map, and those beside them.

    Raises:
        ValueError: for another type or shape of the latter.
    """
    if unknown is None:
        return hidden
    if unknown.dtype != bool or unknown.shape != hidden.shape:
        raise ValueError(
            f"unknown is {unknown.dtype} {unknown.shape}; it must be bool {hidden.shape}, as the label map"
        )
    return hidden | unknown


@torch.inference_mode()
def encode_photo(
    model: GroupDNet, photo: Source, label: np.ndarray, hidden: np.ndarray, absent: AppearanceCodes
) -> AppearanceCodes:
    """Return the codes of a photo.

    Args:
        model: model with an encoder.
        photo: photo.
        label: int64 [H, W] of the model's size, label map of the photo.
        hidden: bool [H, W], which pixels are unknown.
        absent: codes of the classes that the photo does not show at known pixels.

    Raises:
        ValueError: if the photo cannot be read, or has other proportions than its label map.
    """
    picture = read_photo(photo)
    height, width = label.shape
    stretch = (picture.width / picture.height) / (width / height)
    if abs(stretch - 1) > _ASPECT_TOLERANCE:
        raise ValueError(
            f"the photo is {picture.height}x{picture.width} (height x width), and its mask was read at "
            f"{height}x{width}: crop the photo to the same proportions as the mask"
        )
    image = photo_to_tensor(picture, (height, width))
    if hidden.any():
        image = grey_unknown(image, torch.from_numpy(hidden))  # of no class (Eq. 2), as in training
    codes = absent.tensor.clone()
    shown = np.unique(label[~hidden]).tolist()
    posterior = model.encode(image[None], torch.from_numpy(label)[None])
    codes[shown] = posterior.mode()[0].float().cpu()[shown]
    return AppearanceCodes(codes, absent.labels)
