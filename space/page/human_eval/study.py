"""What people are asked about pictures. Nothing here knows a page, or draws.

- ``she`` is the paper's human evaluation (section 4.2): a label map and two pictures of it by one model, in one of
  which a class, chosen at random, was redrawn. The fraction of people who say that the two differ in that class alone
  is the model's SHE.
- ``preference`` compares models: two pictures of one label map by two models; which looks more like a photo?
- ``photo`` compares models with photos: a picture and the photo that its label map is of; which is the photo?

People see neither which model it is, nor which class.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

# Of each study, for each rater.
QUESTIONS = 50
# Stands in the place of a model's name.
PHOTO = "(photo)"
_SEEDS = 2**31 - 1


@dataclass(frozen=True)
class Study:
    """One kind of questions.

    Attributes:
        name: as the environment and the answers have it.
        title: what is asked.
        text: how to answer, HTML.
        first, second: what the two buttons say; an answer is true if it is ``first``.
        shows_map: whether the label map is shown beside the two pictures.
        measure: what the fractions of the results are of.
    """

    name: str
    title: str
    text: str
    first: str
    second: str
    shows_map: bool
    measure: str


_LEFT, _RIGHT = "The left one", "The right one"
STUDIES = {
    study.name: study
    for study in (
        Study(
            "she",
            "Do the two pictures differ in one class only?",
            "Both were drawn for the same label map. One class, hair for example, may look different. "
            "Say <b>yes</b> if everything else is the same to your eye. Take all the time you need.",
            "Yes, only one class differs",
            "No, more than that differs",
            shows_map=True,
            measure="pairs that people saw differ in one class only (SHE)",
        ),
        Study(
            "preference",
            "Which picture looks more like a photo?",
            "Both were drawn for the same label map, by two models. Choose the one that you would sooner take for a "
            "photo, even if neither would fool you.",
            _LEFT,
            _RIGHT,
            shows_map=False,
            measure="pairs of which people preferred the picture of the first model",
        ),
        Study(
            "photo",
            "Which of the two is the photo?",
            "One is a photo, the other was drawn for the photo's label map: the same outlines, other looks.",
            _LEFT,
            _RIGHT,
            shows_map=False,
            measure="pairs of which people took the drawn picture for the photo; 50 % if they cannot tell",
        ),
    )
}


@dataclass(frozen=True)
class Question:
    """What a rater is asked; it is the same whenever it is made for one rater, study and number.

    Attributes:
        study: its name.
        number: 0 to ``QUESTIONS`` - 1.
        first, second: the models whose pictures are shown at the left and at the right; one of them may be
            :data:`PHOTO`. In ``she`` both are the same.
        label_map: a name of the maps that were offered.
        class_: the class that is redrawn in ``she``; else empty.
        seed, reroll_seed: of the pictures, and of the redrawn class.
    """

    rater: str
    study: str
    number: int
    first: str
    second: str
    label_map: str
    class_: str
    seed: int
    reroll_seed: int


def pairs_of(study: str, models: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of models, or of a model and the photo, that a study asks about equally often."""
    if study == "preference":
        return list(combinations(models, 2))
    return [(model, PHOTO if study == "photo" else model) for model in models]


def make_question(
    rater: str, study: str, number: int, models: Sequence[str], maps: Sequence[tuple[str, Sequence[str]]]
) -> Question:
    """Return the question with this number.

    Args:
        rater: random name of the person who is asked.
        study: its name.
        number: 0 to ``QUESTIONS`` - 1.
        models: names of the models that are compared; a rater's questions go to all of them equally often.
        maps: names of label maps, each with the classes that it shows.
    """
    # The order of the pairs is shuffled anew for each round of them.
    order = pairs_of(study, models)
    random.Random(f"{rater}/{study}/round {number // len(order)}").shuffle(order)
    draw = random.Random(f"{rater}/{study}/{number}")
    name, classes = draw.choice(maps)
    class_ = draw.choice(list(classes)) if study == "she" else ""
    first, second = draw.sample(order[number % len(order)], 2)
    return Question(
        rater, study, number, first, second, name, class_, draw.randrange(_SEEDS), draw.randrange(_SEEDS)
    )
