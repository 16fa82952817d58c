"""What a preparation does to an item, and the summary of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from groupdnet_hub import LabelSet
from groupdnet_hub.prepare.items import Outcome
from groupdnet_hub.prepare.sources import Item, Problem


class Preparation(Protocol):
    """How items are prepared; worker processes get copies."""

    @property
    def labels(self) -> LabelSet:
        """Label set of the written maps."""

    @property
    def batch_size(self) -> int:
        """Number of pictures that are prepared together."""

    @property
    def device(self) -> str:
        """Device that works for the items: that of their parser, if it is not the CPU."""

    @property
    def columns(self) -> Mapping[str, str]:
        """Values of an item's entry besides its files and crop, by name, with their kinds in shards."""

    def prepare_batch(self, items: Sequence[Item], output: Path) -> list[Outcome]:
        """Write the files of some items below ``output``, each atomically; return their outcomes in order."""


@dataclass
class Summary:
    """Summary of a run.

    Attributes:
        prepared: number of items in the folder.
        cached: number of these that an earlier run prepared.
        left_out: number of items left out, by reason.
        problems: files that were skipped.
        remarks: further lines.
    """

    prepared: int = 0
    cached: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the summary."""
        text = f"prepared {self.prepared}"
        if self.cached:
            text += f" ({self.cached} of them before)"
        text += f", left out {self.left_out.total()}"
        if self.left_out:
            text += " (" + ", ".join(f"{count} {why}" for why, count in sorted(self.left_out.items())) + ")"
        yield text + f", skipped {len(self.problems)}" + (":" if self.problems else "")
        yield from (f"  {problem.path}: {problem.reason}" for problem in self.problems)
        yield from self.remarks

    def finish(self, counts: Mapping[str, int]) -> None:
        """Put the problems into their order, and add a remark for each count."""
        self.problems.sort(key=lambda problem: str(problem.path))
        self.remarks += [f"{count} {what}" for what, count in sorted(counts.items())]


def problem_of(outcome: Outcome) -> Problem | None:
    """Return why an item was skipped; None for one that was not."""
    if outcome.problem is None:
        return None
    return Problem(outcome.problem_path or outcome.item.picture, outcome.problem)
