"""Metrics of several pictures of each label map, which are drawn once for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from groupdnet_hub.evaluation.inputs import Inputs, Sampled
from groupdnet_hub.evaluation.results import ResultsFile
from groupdnet_hub.runs.sharding import run_sharded


class SampledPart(ABC):
    """How one of these metrics is measured.

    Attributes:
        seeds: number of pictures of each label map.
        settings: settings that the metric depends on.
    """

    seeds: int
    settings: dict[str, Any]

    def begin(self, accelerator: Accelerator) -> None:  # noqa: B027
        """Compute what is needed of other photos; all processes call it together, before pictures are drawn."""

    @abstractmethod
    def measure(self, sampled: Sampled) -> np.ndarray:
        """Return the row of a label map, from its first ``seeds`` pictures."""

    @abstractmethod
    def summarise(self, rows: np.ndarray) -> dict[str, Any]:
        """Return the result of the rows of all label maps [N, ...], in the order of their indices."""


@torch.inference_mode()
def measure_sampled(
    inputs: Inputs,
    accelerator: Accelerator,
    results: ResultsFile,
    parts: Mapping[str, SampledPart],
    indices: Sequence[int],
) -> None:
    """Measure parts on some items and record their results, without drawing again what an earlier run measured.

    Args:
        inputs: what is measured.
        accelerator: accelerator of the run.
        results: file of the results.
        parts: parts by name.
        indices: items to draw.
    """
    for part in parts.values():
        part.begin(accelerator)
    missing: list[Any] = [None]
    if accelerator.is_main_process:
        done = {name: results.rows(name) for name in parts}
        unfinished = {index: [name for name in parts if index not in done[name]] for index in indices}
        missing = [[(index, names) for index, names in unfinished.items() if names]]
    broadcast_object_list(missing)  # a row that a faster process writes meanwhile must not change the shards

    def measure(position: int) -> None:
        index, names = missing[0][position]
        found = inputs.sampled(index, max(parts[name].seeds for name in names))
        for name in names:
            results.write_row(name, index, parts[name].measure(found.first(parts[name].seeds)))

    run_sharded(len(missing[0]), measure, accelerator, ", ".join(parts))
    if accelerator.is_main_process:
        for name, part in parts.items():
            rows = results.rows(name)
            results.finish(name, part.summarise(np.stack([rows[index] for index in sorted(rows)])))
    accelerator.wait_for_everyone()
