"""What the answers to the human evaluation come to."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .study import PHOTO, STUDIES


@dataclass(frozen=True)
class Score:
    """The answers about one model, or about a pair of models, in one study.

    Attributes:
        model: that was asked about.
        rival: the other one in ``preference``; else empty.
        fraction: what :attr:`page.human_eval.study.Study.measure` says.
        low, high: its 95% interval by Wilson.
    """

    study: str
    model: str
    rival: str
    raters: int
    answers: int
    fraction: float
    low: float
    high: float


def scores_of(rows: Iterable[tuple[str, str, str, str, int]]) -> list[Score]:
    """Return a score for each model of each study, or each pair of models, in the order of studies and of names.

    Args:
        rows: rater, study, first, second, answer of each question.
    """
    found: dict[tuple[str, str, str], list[tuple[str, bool]]] = defaultdict(list)
    for rater, study, first, second, answer in rows:
        if study == "she":
            found[study, first, ""].append((rater, bool(answer)))
        else:
            chosen = first if answer else second
            model, rival = sorted((first, second), key=lambda name: (name == PHOTO, name))
            found[study, model, "" if rival == PHOTO else rival].append((rater, chosen == model))
    order = list(STUDIES)
    scores = []
    for study, model, rival in sorted(found, key=lambda key: (order.index(key[0]), *key[1:])):
        answers = found[study, model, rival]
        raters, count, yes = (
            len({rater for rater, _ in answers}),
            len(answers),
            sum(said for _, said in answers),
        )
        scores.append(Score(study, model, rival, raters, count, yes / count, *wilson_interval(yes, count)))
    return scores


def wilson_interval(yes: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Return the score interval of a fraction (Wilson, 1927); 95% with the default z.

    It takes the answers as independent of each other.
    """
    fraction = yes / count
    middle = (fraction + z * z / (2 * count)) / (1 + z * z / count)
    half = (
        z / (1 + z * z / count) * math.sqrt(fraction * (1 - fraction) / count + z * z / (4 * count * count))
    )
    return max(0.0, middle - half), min(1.0, middle + half)
