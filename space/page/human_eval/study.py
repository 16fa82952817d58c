"""SHE, the paper's human evaluation (section 4.2): people say whether two pictures differ in one class alone.

A question is a label map and two pictures of it by one model; in the second, one class, chosen at random, was redrawn.
People do not see which model it is, nor which class. The fraction of "yes" is the model's SHE. Nothing here knows a
page.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from groupdnet_hub.baselines import System
from groupdnet_hub.io.images import tensor_to_picture

QUESTIONS = 50
_SEEDS = 2**31 - 1


@dataclass(frozen=True)
class Question:
    """What a rater is asked; it is the same whenever it is made for one rater and number.

    Attributes:
        number: 0 to ``QUESTIONS`` - 1.
        label_map: a name of the maps that were offered.
        class_: the class that is redrawn.
        seed, reroll_seed: of the first picture, and of the redrawn class.
    """

    rater: str
    number: int
    model: str
    label_map: str
    class_: str
    seed: int
    reroll_seed: int


def make_question(
    rater: str, number: int, models: Sequence[str], maps: Sequence[tuple[str, Sequence[str]]]
) -> Question:
    """Return the question with this number.

    Args:
        rater: random name of the person who is asked.
        number: 0 to ``QUESTIONS`` - 1.
        models: names of the models that are compared; a rater's questions go to all of them equally often.
        maps: names of label maps, each with the classes that it shows.
    """
    # The order of the models is shuffled anew for each round of them.
    order = list(models)
    random.Random(f"{rater}/round {number // len(models)}").shuffle(order)
    draw = random.Random(f"{rater}/{number}")
    name, classes = draw.choice(maps)
    return Question(
        rater,
        number,
        order[number % len(models)],
        name,
        draw.choice(list(classes)),
        draw.randrange(_SEEDS),
        draw.randrange(_SEEDS),
    )


@torch.inference_mode()
def draw_picture(system: System, question: Question, label_map: np.ndarray, place: int) -> Image.Image:
    """Draw one of the two pictures of a question; which of them is the redrawn one is left to chance as well.

    A system without codes for single classes redraws its whole code, as when the paper measures one (section 4.2).
    One that draws instance edges has them along the classes.

    Args:
        system: the model that the question is about.
        question: which class is redrawn, and the seeds.
        label_map: int64 [H, W].
        place: 0 for the picture that is shown first, 1 for the other.
    """
    maps = torch.from_numpy(label_map)[None]
    prepared = system.prepare(maps, maps if system.config.instance_edges else None)
    size = (label_map.shape[0], label_map.shape[1])
    # On the CPU: one seed then means one question on every device.
    first, second = (torch.Generator().manual_seed(seed) for seed in (question.seed, question.reroll_seed))
    codes = system.sample_codes(1, generator=first, label_size=size)
    redrawn = [False, True]
    random.Random(f"{question.rater}/order {question.number}").shuffle(redrawn)
    if redrawn[place]:
        codes = system.redraw(codes, system.labels.id_of(question.class_), generator=second)
    return tensor_to_picture(system.decode(codes, prepared)[0].float().cpu())
