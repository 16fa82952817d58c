"""Differentiable augmentation: both pictures and labels move, gradients flow, the stream can be taken up again."""

from __future__ import annotations

import torch

from groupdnet_hub.training.augment.diffaugment import DiffAugment
from groupdnet_hub.training.shared_stream import RunSeed


def example(batch: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 2 + 3, 32, 48, generator=generator) + 1


def test_items_are_changed_differently() -> None:
    x = example()
    changed = DiffAugment(RunSeed(0))(x)
    assert changed.shape == x.shape
    zeros = (changed[:, 0] == 0).float().mean(dim=(1, 2))
    assert (zeros > 0.05).all()
    assert len(zeros.unique()) > 3


def test_labels_move_with_their_picture() -> None:
    x = example()
    x[:, 1] = x[:, 0]
    changed = DiffAugment(RunSeed(0))(x)
    assert torch.equal(changed[:, 0], changed[:, 1])
    # Where a label is cut away, so is the picture.
    gone = changed[:, 0] == 0
    assert (changed[:, 2:].abs().sum(dim=1)[gone] == 0).all()
    # What is left of a label is found again, moved by at most an eighth.
    kept = changed[0, 0][changed[0, 0] != 0]
    assert torch.isin(kept, x[0, 0]).all()


def test_gradients_flow_to_what_is_left() -> None:
    x = example().requires_grad_()
    DiffAugment(RunSeed(0))(x).sum().backward()
    assert x.grad is not None
    assert 0.4 < (x.grad[:, 0] != 0).float().mean() < 0.99  # the rest was cut away or moved out
    assert (x.grad[:, 2:] != 0).float().mean() > 0.4


def test_the_stream_is_taken_up_again() -> None:
    x, first = example(), DiffAugment(RunSeed(1))
    first(x)
    state = first.state_dict()
    expected = first(x)
    second = DiffAugment(RunSeed(2))
    second.load_state_dict(state)
    assert torch.equal(second(x), expected)


def test_two_processes_draw_what_one_would() -> None:
    x = example(4)
    whole = DiffAugment(RunSeed(3))(x)
    halves = [DiffAugment(RunSeed(3, rank, 2))(x[2 * rank : 2 * rank + 2]) for rank in range(2)]
    assert torch.equal(torch.cat(halves), whole)


def test_copies_are_changed_alike() -> None:
    """Feature matching compares a drawn picture with the real one: both must be moved and cut in the same way."""
    x = example(3)
    changed = DiffAugment(RunSeed(0))(torch.cat((x, x)), 2)
    assert torch.equal(changed[:3], changed[3:])
    assert torch.equal(changed[:3], DiffAugment(RunSeed(0))(x))
