"""What the human evaluation asks about: label maps, photos, and the systems that are compared."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from groupdnet_hub import GroupDNetPipeline, LabelSet, load_system
from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.data.labels import classes_present, colour_picture

from ..core.budget import check_memory
from ..core.example_maps import example_map, example_maps
from ..core.lazy_model import LazyModel, read_config
from ..core.studio import Studio
from .answers import Answers
from .photos import Photos
from .pictures import common_frame, draw_picture, framed
from .study import PHOTO, STUDIES, Question, make_question, pairs_of

STUDIES_VARIABLE = "GROUPDNET_EVALUATION_STUDIES"
MODELS_VARIABLE = "GROUPDNET_EVALUATION_MODELS"
MAPS_VARIABLE = "GROUPDNET_EVALUATION_MAPS"
PHOTOS_VARIABLE = "GROUPDNET_EVALUATION_PHOTOS"
DrawPicture = Callable[[Question, np.ndarray, int], Image.Image]


@dataclass(frozen=True)
class Entrant:
    """A system that is compared.

    Attributes:
        draw: draws one of the two pictures of a question on a label map of its classes and size.
        labels: its classes.
        size: (height, width) of its pictures.
    """

    draw: DrawPicture
    labels: LabelSet
    size: tuple[int, int]


class Evaluation:
    """What is asked: studies, label maps, photos, and the systems that are compared.

    Args:
        entrants: the systems by the names under which answers are written; all of one label set and size for ``she``.
        paths: of the label maps; those that one of the systems cannot take are left out.
        answers: the file of the answers.
        studies: names of the studies, in the order of asking; those without maps or photos are left out.
        photos: for the study ``photo``.

    Attributes:
        labels: the classes of the first system, in which label maps are shown.
        size: (height, width) of the pictures that are shown.
        maps: the label maps by name, as the first system takes them.
        digest: of all that a question is drawn from by chance: with others, questions are others.
    """

    def __init__(
        self,
        entrants: Mapping[str, Entrant],
        paths: Sequence[Path],
        answers: Answers,
        studies: Sequence[str] = ("she",),
        photos: Photos | None = None,
    ) -> None:
        self.entrants, self.answers, self.photos = dict(entrants), answers, photos
        first, *others = self.entrants.values()
        self.labels, self.size = first.labels, common_frame([first.size, *(one.size for one in others)])
        self._maps: dict[str, dict[str, np.ndarray]] = {name: {} for name in self.entrants}
        for path in paths:
            try:
                taken = [example_map(path, one.labels, one.size) for one in self.entrants.values()]
            except ValueError:
                continue
            for maps_of_one, label in zip(self._maps.values(), taken, strict=True):
                maps_of_one[path.name] = label
        self.maps = next(iter(self._maps.values()))
        maps = [
            (name, [self.labels.names[class_id] for class_id in classes_present(label, len(self.labels))])
            for name, label in self.maps.items()
        ]
        shown = {"photo": [] if photos is None else [(name, ()) for name in photos.names]}
        self._shown = {study: offered for study in studies if (offered := shown.get(study, maps))}
        parts = json.dumps([list(self.entrants), self.labels.names, self._shown])
        self.digest = hashlib.sha256(parts.encode()).hexdigest()[:16]

    @property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies that people are asked in, in this order."""
        return tuple(self._shown)

    @classmethod
    def from_environment(cls, studio: Studio, examples: Path, answers: Answers) -> Evaluation:
        """Make what ``GROUPDNET_EVALUATION_STUDIES``, ``_MODELS``, ``_MAPS``, ``_PHOTOS`` say; else use the page's own.

        Raises:
            ValueError, OSError: for studies that there are not or that lack something, systems that a study cannot
                compare, two of one name, a configuration that cannot be read, and models that cost too much, each or
                together.
        """
        studies = _studies_from_environment()
        entrants = _entrants_from_environment(studio)
        if "she" in studies:
            _check_alike(entrants)
        for study in studies:
            if not pairs_of(study, list(entrants)):
                raise ValueError(
                    f"{STUDIES_VARIABLE}: {study} compares models: name two or more in {MODELS_VARIABLE}"
                )
        maps, photos = os.environ.get(MAPS_VARIABLE), _photos_from_environment(studies, entrants)
        evaluation = cls(entrants, _paths_for(entrants, maps, examples), answers, studies, photos)
        if maps and not evaluation.maps:
            raise ValueError(
                f"{MAPS_VARIABLE}: {maps} holds no label map (PNG) of the models' classes and proportions"
            )
        left_out = [study for study in studies if study not in evaluation.studies]
        if left_out and os.environ.get(STUDIES_VARIABLE):
            raise ValueError(
                f"{STUDIES_VARIABLE}: no example map is of the models' classes and proportions, which "
                f"{' and '.join(left_out)} needs: name a folder of label maps in {MAPS_VARIABLE}"
            )
        return evaluation

    def question(self, rater: str, study: str, number: int) -> Question:
        """Return the question of a study with this number, 0 to ``QUESTIONS`` - 1."""
        return make_question(rater, study, number, list(self.entrants), self._shown[study])

    def draw(self, question: Question) -> tuple[Any, Any, Any]:
        """Draw the label map in its colours, or None where it is not shown, and the two pictures."""
        label = None
        if STUDIES[question.study].shows_map:
            label = colour_picture(self.maps[question.label_map], self.labels)
        return label, self._picture(question, 0), self._picture(question, 1)

    def _picture(self, question: Question, place: int) -> Image.Image:
        name, rival = (question.first, question.second)[:: -1 if place else 1]
        if name == PHOTO:
            assert self.photos is not None
            return framed(self.photos.photo(question.label_map, rival), self.size)
        if rival == PHOTO:
            assert self.photos is not None
            label = self.photos.label_map(question.label_map, name)
        else:
            label = self._maps[name][question.label_map]
        return framed(self.entrants[name].draw(question, label, place), self.size)


def answers_of_environment(default: Path) -> Answers:
    """Return the answers in the file ``GROUPDNET_EVALUATION_ANSWERS``, or in another where that is not set."""
    return Answers(os.environ.get("GROUPDNET_EVALUATION_ANSWERS", default))


def _studies_from_environment() -> list[str]:
    given = os.environ.get(STUDIES_VARIABLE, "").strip() or "she"
    studies = list(dict.fromkeys(name.strip() for name in given.split(",")))
    for name in studies:
        if name not in STUDIES:
            raise ValueError(
                f"{STUDIES_VARIABLE} is {given!r}; it must name some of {', '.join(STUDIES)}, separated by commas"
            )
    return studies


def _entrants_from_environment(studio: Studio) -> dict[str, Entrant]:
    sources = [one.strip() for one in os.environ.get(MODELS_VARIABLE, studio.source).split(",")]
    entrants: dict[str, Entrant] = {}
    costs = {studio.source: studio.config.cost}
    for one in sources:
        name = Path(one).resolve().name if Path(one).is_dir() else one
        if name in entrants:
            raise ValueError(f"two models of the evaluation are called {name}: rename a folder")
        if name == PHOTO:
            raise ValueError(f"a model of the evaluation is called {PHOTO}, as photos are: rename its folder")
        config: SystemConfig = studio.config if one == studio.source else read_config(one)
        if one == studio.source:  # its weights are there already
            draw = functools.partial(studio.run_piece, _draw_with_pipeline)
        else:
            draw = functools.partial(LazyModel(one, load_system, studio.worker).run_piece, draw_picture)
        labels = LabelSet(config.class_names, config.palette, config.ignore)
        entrants[name] = Entrant(draw, labels, config.image_size)
        costs[one] = config.cost
    check_memory(costs)
    return entrants


def _photos_from_environment(studies: Sequence[str], entrants: Mapping[str, Entrant]) -> Photos | None:
    folder = os.environ.get(PHOTOS_VARIABLE)
    if "photo" not in studies:
        if folder:
            raise ValueError(f"{PHOTOS_VARIABLE} has no effect without photo in {STUDIES_VARIABLE}")
        return None
    if not folder:
        raise ValueError(
            f"{STUDIES_VARIABLE}: photo needs photos: name a data set with a validation split in {PHOTOS_VARIABLE}"
        )
    return Photos(folder, {name: (one.labels, one.size) for name, one in entrants.items()})


def _paths_for(entrants: Mapping[str, Entrant], maps: str | None, examples: Path) -> list[Path]:
    """Return the label maps of a folder that was named, or of the examples, whose ids mean something to all systems."""
    folder, (first, *others) = Path(maps or examples), (one.labels for one in entrants.values())
    alike = all(labels.names == first.names for labels in others)
    paths = sorted(folder.glob("*.png")) if maps and alike else example_maps(folder, first)
    if alike:
        return paths
    # Ids without a classes.json would be other things to another system.
    return [path for path in paths if all(path in example_maps(folder, labels) for labels in others)]


def _check_alike(entrants: Mapping[str, Entrant]) -> None:
    first = next(iter(entrants.values()))
    for name, one in entrants.items():
        if (one.labels.names, one.size) != (first.labels.names, first.size):
            raise ValueError(f"the models of she must be of one label set and size; {name} is not")


def _draw_with_pipeline(
    pipeline: GroupDNetPipeline, question: Question, label_map: np.ndarray, place: int
) -> Image.Image:
    return draw_picture(pipeline.model, question, label_map, place)
