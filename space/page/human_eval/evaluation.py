"""What the human evaluation asks about: label maps, and the systems that are compared."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
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
from .study import Question, draw_picture, make_question

DrawPicture = Callable[[Question, np.ndarray, int], Image.Image]


class Evaluation:
    """What is asked: label maps, and the systems that are compared.

    Args:
        systems: by the name under which a system's answers are written, what draws one of the two pictures of a
            question on its label map.
        paths: of the label maps; those of other classes or proportions are left out.
        answers: the file of the answers.

    Attributes:
        study: digest of the systems and the maps: with others, questions are others.
    """

    def __init__(
        self,
        systems: Mapping[str, DrawPicture],
        labels: LabelSet,
        size: tuple[int, int],
        paths: Sequence[Path],
        answers: Answers,
    ) -> None:
        self.systems, self.labels, self.size, self.answers = dict(systems), labels, size, answers
        self.maps: dict[str, np.ndarray] = {}
        for path in paths:
            try:
                self.maps[path.name] = example_map(path, labels, size)
            except ValueError:
                continue
        self.shown = [
            (name, [labels.names[class_id] for class_id in classes_present(label, len(labels))])
            for name, label in self.maps.items()
        ]
        # Of all that a question is drawn from by chance.
        parts = json.dumps([list(self.systems), labels.names, self.shown])
        self.study = hashlib.sha256(parts.encode()).hexdigest()[:16]

    @classmethod
    def from_environment(cls, studio: Studio, examples: Path, answers: Answers) -> Evaluation:
        """Make what ``GROUPDNET_EVALUATION_MODELS`` and ``_MAPS`` say; else use the page's own.

        Raises:
            ValueError, OSError: for systems of different label sets or sizes, two of one name, a configuration that
                cannot be read, and models that cost too much, each or together.
        """
        sources = os.environ.get("GROUPDNET_EVALUATION_MODELS", studio.source).split(",")
        folder = os.environ.get("GROUPDNET_EVALUATION_MAPS")
        systems: dict[str, DrawPicture] = {}
        configs: list[SystemConfig] = []
        for one in map(str.strip, sources):
            name = Path(one).resolve().name if Path(one).is_dir() else one
            if name in systems:
                raise ValueError(f"two models of the evaluation are called {name}: rename a folder")
            config = studio.config if one == studio.source else read_config(one)
            configs.append(config)
            if (config.class_names, config.image_size) != (configs[0].class_names, configs[0].image_size):
                raise ValueError(
                    f"the models of an evaluation must be of one label set and size; {name} is not"
                )
            if one == studio.source:  # its weights are there already
                systems[name] = functools.partial(studio.run_piece, _draw_with_pipeline)
            else:
                model = LazyModel(one, load_system, studio.worker)
                systems[name] = functools.partial(model.run_piece, draw_picture)
        labels = LabelSet(configs[0].class_names, configs[0].palette, configs[0].ignore)
        paths = sorted(Path(folder).glob("*.png")) if folder else example_maps(examples, labels)
        costs = {one.strip(): config.cost for one, config in zip(sources, configs, strict=True)}
        check_memory({studio.source: studio.config.cost, **costs})
        evaluation = cls(systems, labels, configs[0].image_size, paths, answers)
        if folder and not evaluation.maps:
            raise ValueError(
                f"GROUPDNET_EVALUATION_MAPS: {folder} holds no label map (PNG) of the models' classes and proportions"
            )
        return evaluation

    def question(self, rater: str, number: int) -> Question:
        """Return the question with this number, 0 to ``QUESTIONS`` - 1."""
        return make_question(rater, number, list(self.systems), self.shown)

    def draw(self, question: Question) -> tuple[Any, Any, Any]:
        """Draw the label map in its colours, and the two pictures."""
        label = self.maps[question.label_map]
        draw = self.systems[question.model]
        return colour_picture(label, self.labels), draw(question, label, 0), draw(question, label, 1)


def answers_of_environment(default: Path) -> Answers:
    """Return the answers in the file ``GROUPDNET_EVALUATION_ANSWERS``, or in another where that is not set."""
    return Answers(os.environ.get("GROUPDNET_EVALUATION_ANSWERS", default))


def _draw_with_pipeline(
    pipeline: GroupDNetPipeline, question: Question, label_map: np.ndarray, place: int
) -> Image.Image:
    return draw_picture(pipeline.model, question, label_map, place)
