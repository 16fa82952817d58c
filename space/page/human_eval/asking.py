"""Whose answer counts: that of a rater of this server, to a question that was shown to them, once, after a look."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping

from ..server.crowds.limits import whole_number
from ..server.crowds.rates import Allowance
from .evaluation import Evaluation
from .signing import Asked, Signer

RATERS_PER_HOUR = "GROUPDNET_EVALUATION_RATERS_PER_HOUR"
# Two classes of 30 behind one router.
_DEFAULT_RATERS = 60
# Nobody sees two pictures, compares them and moves a finger in less.
LEAST_SECONDS = 0.3
_DAY, _HOUR = 24 * 3600, 3600


def raters_from_environment(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many people of one address may begin in an hour.

    Raises:
        ValueError: for what is no whole number from 1 on.
    """
    text = environment.get(RATERS_PER_HOUR, "").strip() or str(_DEFAULT_RATERS)
    return whole_number(RATERS_PER_HOUR, text, "a whole number from 1 on", least=1, most_digits=6)


class Interview:
    """The questions of an evaluation, as raters are asked and answer them.

    Args:
        evaluation: what is asked.
        signer: of names and questions.
        raters_per_hour: people of one address who may begin in an hour.
        clock: tells seconds since 1970.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        signer: Signer,
        raters_per_hour: int = _DEFAULT_RATERS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.evaluation, self.signer, self._clock = evaluation, signer, clock
        self._raters_per_hour = raters_per_hour
        self._beginnings = Allowance(raters_per_hour / _HOUR, raters_per_hour, clock)

    def rater(self, signed: object) -> str:
        """Return who a browser's signed name says it is; a new rater for any other name."""
        return self.signer.rater(signed) or self.signer.rater(self.signer.new_rater()) or ""

    def next_question(self, rater: str) -> tuple[str, int] | None:
        """Return study and number of the question that a rater is asked next; None if none is left."""
        return self.evaluation.answers.next_question(rater, self.evaluation.studies)

    def shown(self, rater: str, study: str, number: int) -> str:
        """Return what an answer to the question must bring. Call it when its pictures have been drawn."""
        return self.signer.sign_question(Asked(rater, study, number, self._clock(), self.evaluation.digest))

    def take(self, rater: str, question: object, answer: bool, address: str) -> str:
        """Write an answer if it counts; return what the rater is told if it does not, or nothing.

        Args:
            rater: what :meth:`rater` returned.
            question: what :meth:`shown` returned.
            answer: whether it is the first of the two that the study offers.
            address: where it comes from.

        Raises:
            AnswersError: if it cannot be written.
        """
        asked, evaluation = self.signer.question(question), self.evaluation
        if asked is None or asked.rater != rater:
            return "This answer belongs to no question that was shown to you: please answer the one that you see now."
        seconds = self._clock() - asked.shown
        if asked.digest != evaluation.digest or seconds > _DAY:
            return "The question was too old, so the answer does not count: please answer the one that you see now."
        if (asked.study, asked.number) != self.next_question(rater):
            return ""  # a second press, or a second window
        if seconds < LEAST_SECONDS:
            return "That was faster than anybody can look, so it does not count: please compare the two pictures."
        begins = (asked.study, asked.number) == (evaluation.studies[0], 0)
        wait = self._beginnings.take(address, 1) if begins else 0
        if wait:
            return (
                f"More than {self._raters_per_hour} people of your address have begun within an hour "
                f"({RATERS_PER_HOUR}): please answer in {math.ceil(wait / 60)} minutes."
            )
        evaluation.answers.add(evaluation.question(rater, asked.study, asked.number), answer, seconds)
        return ""
