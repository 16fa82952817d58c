"""What the evaluations of a run have found, and which of its models ``model/`` holds, for a run that resumes.

``OUTPUT_DIR/quality.json`` has all figures, for people and other programs. That the model in ``model/`` is the best so
far, and by what, stands in its own facts, which are written with it at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from groupdnet_hub.hub.files import FACTS_FILE
from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.io.strict_json import read_json

QUALITY_FILE = "quality.json"
# Of a model's facts: what was measured of it, and in there the metric by which it was kept.
EVALUATION, KEPT_BY = "evaluation", "kept_by"


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one model.

    Attributes:
        step: updates that it had behind it.
        values: values by metric.
        conditions: what else the values depend on.
        by_class: CSD and OCD by class name, under ``csd`` and ``ocd``.
    """

    step: int
    values: Mapping[str, float]
    conditions: Mapping[str, Any]
    by_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass
class QualityRecord:
    """The content of ``quality.json``.

    Attributes:
        evaluations: all evaluations of the run, oldest first.
        best: the model that is kept: ``metric``, ``step`` and ``value``; None for the last one.
        finished_at: steps of the run, once it has made all of them.
    """

    evaluations: list[Evaluation] = field(default_factory=list)
    best: Mapping[str, Any] | None = None
    finished_at: int | None = None

    def write(self, output: Path) -> None:
        """Write it into the folder of the run, atomically."""
        with atomic_write(output / QUALITY_FILE) as partial:
            partial.write_text(
                json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )

    @classmethod
    def read(cls, output: Path) -> QualityRecord:
        """Return that of a run; an empty one where there is none.

        Raises:
            ValueError: for a file that is not such a record.
        """
        path = output / QUALITY_FILE
        if not path.is_file():
            return cls()
        try:
            found = read_json(path, str(path))
            evaluations = [Evaluation(**one) for one in found["evaluations"]]
            return cls(evaluations, found["best"], found["finished_at"])
        except (KeyError, TypeError):
            raise ValueError(
                f"{path} is not a record of evaluations: remove it, and they start anew"
            ) from None


@dataclass(frozen=True)
class Kept:
    """What was measured of a model that was kept as the best, and the metric that said so."""

    metric: str
    evaluation: Evaluation

    @property
    def value(self) -> float:
        """Its value of that metric."""
        return self.evaluation.values[self.metric]

    @classmethod
    def read(cls, output: Path, model: str = "model") -> Kept | None:
        """Return that of the model in the folder of a run; None for one that was not kept as the best."""
        path = output / model / FACTS_FILE
        facts = read_json(path, str(path)) if path.is_file() else {}
        found: Any = facts.get(EVALUATION) if isinstance(facts, dict) else None
        try:
            kept = cls(found[KEPT_BY], Evaluation(found["step"], found["values"], found["conditions"]))
            return kept if isinstance(kept.value, float) and isinstance(kept.evaluation.step, int) else None
        except (KeyError, TypeError):
            return None


def is_best_so_far(output: Path, model: str = "model") -> bool:
    """Return whether the model in the folder of a run was kept as the best before the run had made all its steps."""
    return Kept.read(output, model) is not None and QualityRecord.read(output).finished_at is None


def steps_made(output: Path, model: str = "model") -> int | None:
    """Return the steps of a finished run, whose model is in its folder; None for a run that is not finished."""
    path = output / model / FACTS_FILE
    if not path.is_file():
        return None
    if Kept.read(output, model) is not None:
        return QualityRecord.read(output).finished_at
    facts = read_json(path, str(path))
    steps = facts.get("steps") if isinstance(facts, dict) else None
    return steps if isinstance(steps, int) else None
