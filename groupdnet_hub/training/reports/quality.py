"""The quality of a model while it trains: when it is measured, what is told of it, and which model is the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator

from groupdnet_hub.baselines import System
from groupdnet_hub.runs.sharding import on_main_process
from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.config.quality import HIGHER_IS_BETTER
from groupdnet_hub.training.data.pictures import Data, validation_data
from groupdnet_hub.training.reports.quality_meter import QualityMeter
from groupdnet_hub.training.reports.trackers import Table, Trackers
from groupdnet_hub.training.state.quality_record import (
    EVALUATION,
    KEPT_BY,
    Evaluation,
    Kept,
    QualityRecord,
)

# Memory for the pictures that are measured each time.
_CACHE_BYTES = 2**30
# Fraction of a run's time above which a line says how to lower it.
_LARGE_SHARE = 0.03


class Quality:
    """Measures the model of a run every ``--evaluation_steps``; without these flags nothing is ever due.

    Args:
        settings: settings of the run.
        steps: updates of the whole run, the last of which is measured too.
        meter: measures; None for a run that measures nothing.
        accelerator: accelerator of the run.

    Attributes:
        best: the model that is kept by ``--keep_best``; None as long as there is none.
    """

    def __init__(
        self, settings: ResolvedTrainConfig, steps: int, meter: QualityMeter | None, accelerator: Accelerator
    ) -> None:
        self.settings, self.steps, self.meter, self.accelerator = settings, steps, meter, accelerator
        self.best: Kept | None = None
        self._record = QualityRecord()
        self._started, self._seconds = time.monotonic(), 0.0

    def begin(self, step: int | None) -> None:
        """Begin with the first step of this process, and read what the run has measured before.

        Args:
            step: where it resumes; None for a new run.

        Raises:
            ValueError: for a record that cannot be read.
        """
        self._started = time.monotonic()
        if self.meter is None or step is None:
            return
        output, conditions = self.settings.output_path, self.meter.conditions
        before, kept = on_main_process(
            self.accelerator, lambda: (QualityRecord.read(output), Kept.read(output))
        )
        self._record.evaluations = [one for one in before.evaluations if one.step <= step]
        metric = self.settings.keep_best
        if metric is None or kept is None:
            return
        if kept.metric == metric and kept.evaluation.conditions == conditions:
            self._keep(kept)
        else:
            self.accelerator.print(
                f"model/ holds the best model by {kept.metric} of {_told(kept.evaluation.conditions)}: --keep_best "
                f"{metric} of {_told(conditions)} compares anew"
            )

    def due(self, step: int) -> bool:
        """Return whether the model is to be measured after this step, and was not yet."""
        if self.meter is None or not (step == self.steps or step % self.settings.evaluation_interval == 0):
            return False
        return step > 0 and self._at(step) is None

    def measure(self, system: System, step: int) -> None:
        """Measure a model, in evaluation mode; every process calls it.

        Raises:
            ValueError: as :meth:`QualityMeter.measure`.
        """
        assert self.meter is not None, "nothing is due without"
        found = self.meter.measure(system, step)
        self._record.evaluations.append(found)
        metric = self.settings.keep_best
        if metric is not None and metric in found.values and self._is_better(metric, found.values[metric]):
            self._keep(Kept(metric, found))

    def keep(self, step: int, write_model: Callable[[], Any]) -> None:
        """Write the model if it is the best, and the record; every process calls it, the main process writes.

        Raises:
            ValueError: on every process alike, if it cannot be written.
        """

        def write() -> None:
            if self._is_kept(step):
                write_model()
            self._record.write(self.settings.output_path)

        on_main_process(self.accelerator, write)

    def finish(self) -> None:
        """Record that the run has made all its steps and saved its model."""
        if self.meter is not None:
            self._record.finished_at = self.steps
            self._record.write(self.settings.output_path)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time until the context ends as time of measuring."""
        if self.accelerator.device.type == "cuda":
            torch.cuda.synchronize(self.accelerator.device)  # the steps before are not measuring
        before = time.monotonic()
        yield
        self._seconds += time.monotonic() - before

    @property
    def share(self) -> float:
        """The fraction of the time since the first step of this process that measuring has taken."""
        return self._seconds / max(time.monotonic() - self._started, 1e-9)

    def report(self, trackers: Trackers, step: int) -> None:
        """Report the values after ``step`` updates, and those of each class as curves and as a table."""
        found = self._evaluated(step)
        values = {f"evaluation/{name}": value for name, value in found.values.items()}
        for part, by_class in found.by_class.items():
            values |= {f"evaluation/{part}/{name}": value for name, value in by_class.items()}
        trackers.scalars({**values, "evaluation/share_of_time": self.share}, step)
        names = dict.fromkeys(name for by_class in found.by_class.values() for name in by_class)
        rows = [(name, *(by_class.get(name) for by_class in found.by_class.values())) for name in names]
        if rows:
            trackers.table("evaluation/classes", Table(("class", *found.by_class), tuple(rows)), step)

    def line(self, step: int) -> str:
        """Return what people are told."""
        assert self.meter is not None, "something was measured"
        values = self._evaluated(step).values
        told = "; ".join(f"{self.meter.title(name)}: {value:.4g}" for name, value in values.items())
        best = ""
        if self.best is not None:
            where = "this step" if self._is_kept(step) else f"step {self.best.evaluation.step}"
            best = f"; the best by {self.best.metric} so far is that of {where}"
        remedy = ""
        if self.share > _LARGE_SHARE:
            remedy = " (raise --evaluation_steps, or measure fewer pictures, to lower it)"
        return (
            f"step {step}: {told}{best}; measuring took {100 * self.share:.1f} % of the time so far{remedy}"
        )

    def facts(self, step: int) -> dict[str, Any]:
        """Return what the facts of a model say if it was measured: ``metrics`` by title, and the evaluation."""
        found = self._at(step)
        if found is None or self.meter is None:
            return {}
        kept = {KEPT_BY: self.settings.keep_best} if self._is_kept(step) else {}
        return {
            "metrics": {self.meter.title(name): value for name, value in found.values.items()},
            EVALUATION: {"step": step, "values": found.values, "conditions": found.conditions, **kept},
        }

    def _is_better(self, metric: str, value: float) -> bool:
        if self.best is None:
            return True
        return value > self.best.value if HIGHER_IS_BETTER[metric] else value < self.best.value

    def _keep(self, kept: Kept) -> None:
        self.best = kept
        self._record.best = {"metric": kept.metric, "step": kept.evaluation.step, "value": kept.value}

    def _is_kept(self, step: int) -> bool:
        return self.best is not None and self.best.evaluation.step == step

    def _at(self, step: int) -> Evaluation | None:
        conditions = None if self.meter is None else self.meter.conditions
        there = (one for one in self._record.evaluations if one.step == step and one.conditions == conditions)
        return next(there, None)

    def _evaluated(self, step: int) -> Evaluation:
        found = self._at(step)
        assert found is not None, "it was measured"
        return found


def _told(conditions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in conditions.items())


def build_quality(
    settings: ResolvedTrainConfig, data: Data, system: System, steps: int, accelerator: Accelerator
) -> Quality:
    """Return what measures the run, with its networks loaded: what is missing is told before the first step.

    Raises:
        ValueError: for data without a validation split, and as :class:`QualityMeter`.
    """
    if not settings.evaluates:
        return Quality(settings, steps, None, accelerator)
    validation = validation_data(settings, data, cache_bytes=_CACHE_BYTES)
    assert validation is not None, "TrainConfig.check requires it"
    try:
        meter = QualityMeter(settings, validation, system, accelerator)
    except ImportError as error:
        raise ValueError(
            f"--evaluation_steps: {error}; pip install 'groupdnet-hub[metrics]' has what metrics need"
        ) from error
    accelerator.print(
        f"measured every {settings.evaluation_interval} steps: {', '.join(meter.metrics)}, on "
        f"{len(meter.indices)} validation pictures and {len(meter.diversity_indices)} label maps"
    )
    return Quality(settings, steps, meter, accelerator)
