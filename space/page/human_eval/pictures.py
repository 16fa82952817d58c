"""The pictures of a question."""

from __future__ import annotations

import random

import numpy as np
import torch
from PIL import Image

from groupdnet_hub.baselines import System
from groupdnet_hub.io.images import tensor_to_picture

from .study import Question


@torch.inference_mode()
def draw_picture(system: System, question: Question, label_map: np.ndarray, place: int) -> Image.Image:
    """Draw one of the two pictures of a question; which of them has its class redrawn is left to chance as well.

    A system without codes for single classes redraws its whole code, as when the paper measures one (section 4.2).
    One that draws instance edges has them along the classes.

    Args:
        system: the model that the question is about.
        question: which class is redrawn, if any, and the seeds.
        label_map: int64 [H, W].
        place: 0 for the picture at the left, 1 for the other.
    """
    maps = torch.from_numpy(label_map)[None]
    prepared = system.prepare(maps, maps if system.config.instance_edges else None)
    size = (label_map.shape[0], label_map.shape[1])
    # On the CPU: one seed then means one question on every device.
    first, second = (torch.Generator().manual_seed(seed) for seed in (question.seed, question.reroll_seed))
    codes = system.sample_codes(1, generator=first, label_size=size)
    redrawn = [False, True]
    random.Random(f"{question.rater}/order {question.number}").shuffle(redrawn)
    if question.class_ and redrawn[place]:
        codes = system.redraw(codes, system.labels.id_of(question.class_), generator=second)
    return tensor_to_picture(system.decode(codes, prepared)[0].float().cpu())


def common_frame(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the (height, width) in which pictures of these sizes are shown: as high as the highest, and as narrow in
    proportion as the narrowest."""
    height = max(size[0] for size in sizes)
    return height, round(height * min(width / height for height, width in sizes))


def framed(picture: Image.Image, frame: tuple[int, int]) -> Image.Image:
    """Return the middle of a picture at the size of a frame, (height, width), so that size tells nobody the model.

    Wider pictures have background at both sides there (:func:`page.core.example_maps.example_map`).
    """
    height, width = frame
    if picture.size == (width, height):
        return picture
    # At least the frame's proportions, to a pixel.
    cut = min(picture.width, round(picture.height * width / height))
    left = (picture.width - cut) // 2
    box = (left, 0, left + cut, picture.height)
    return picture.resize((width, height), Image.Resampling.LANCZOS, box=box)
