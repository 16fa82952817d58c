"""Random draws of a run: the same for any number of processes, and those that runs have always had."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("accelerate")
from groupdnet_hub.training.augment.class_colours import ClassColours
from groupdnet_hub.training.augment.class_crops import ClassCrops, DiscriminatorCrops
from groupdnet_hub.training.augment.diffaugment import DiffAugment
from groupdnet_hub.training.augment.label_mix import LabelMix
from groupdnet_hub.training.objectives.code_memory import CodeMemory
from groupdnet_hub.training.objectives.redraw_loss import ClassExchange
from groupdnet_hub.training.objectives.redraw_window import RedrawWindows
from groupdnet_hub.training.shared_stream import NoiseSource, RunSeed, SharedStream

# The ids that the checkpoints of earlier runs were written with.
IDS: dict[type[SharedStream], int] = {
    NoiseSource: 0,
    DiffAugment: 1,
    ClassCrops: 2,
    ClassExchange: 3,
    ClassColours: 4,
    CodeMemory: 5,
    LabelMix: 10,
    DiscriminatorCrops: 11,
    RedrawWindows: 12,
}
CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", IDS)
def test_a_run_that_is_repeated_draws_what_it_drew(kind: type[SharedStream]) -> None:
    stream = kind.__new__(kind)
    SharedStream.__init__(stream, RunSeed(7))
    expected = torch.rand(1, 5, generator=torch.Generator().manual_seed(7 * 65_537 + IDS[kind]))
    assert torch.equal(stream.uniform(5, device=CPU), expected[0])


def test_processes_draw_parts_of_what_one_draws() -> None:
    one = NoiseSource(RunSeed(3)).draw((4, 2), CPU)
    parts = [NoiseSource(RunSeed(3, index, 2)).draw((2, 2), CPU) for index in range(2)]
    assert torch.equal(torch.cat(parts), one)


def test_a_checkpoint_continues_a_stream() -> None:
    first, second = NoiseSource(RunSeed(3)), NoiseSource(RunSeed(4))
    first.draw((8,), CPU)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.draw((8,), CPU), second.draw((8,), CPU))
