"""What the tests take for a wait of the host: found where it is one, and not elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.helpers.host_waits import NoHostWaits

WAITING: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool(x.sum() > 0),
    "int": lambda x: int(x.sum()),
    "float": lambda x: float(x.max()),
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "equal": lambda x: torch.equal(x, x),
    "nonzero": lambda x: (x > 0).nonzero(),
    "where": lambda x: torch.where(x > 0),
    "unique": lambda x: x.unique(),
    "mask": lambda x: x[x > 0],
    "put": lambda x: x.clone().__setitem__(x > 0, x.sum()),
    "select": lambda x: torch.masked_select(x, x > 0),
    "index": lambda x: x[x.sum().long()],
    "slice": lambda x: x[: x.sum().long()],
    "bincount": lambda x: torch.bincount(x.long()),
    "repeat": lambda x: x.repeat_interleave(x.long()),
}


@pytest.mark.parametrize("name", WAITING)
def test_waits_are_refused_with_their_line(name: str) -> None:
    values = torch.tensor([0.0, 1.0, 2.0])
    with (
        pytest.raises(AssertionError, match=r"the host waits for the device: .* at test_host_waits.py:"),
        NoHostWaits(),
    ):
        WAITING[name](values)


def test_what_does_not_wait_goes_through() -> None:
    with NoHostWaits() as watch:
        values = torch.tensor([[0.0, 1.0, 2.0]], requires_grad=True)
        picked = values[:, torch.tensor([2, 0])]
        chosen = torch.where(picked > 0, picked, -picked).masked_fill(picked > 1, 3.0)
        repeated = chosen.repeat_interleave(torch.tensor([1, 2]), dim=1, output_size=3)
        (repeated.to(torch.float64).sum() * values.argmax()).backward()
    assert watch.waits == []
    assert values.grad is not None


def test_waits_of_a_backward_pass_are_seen() -> None:
    class Asking(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, grad: Tensor) -> Tensor:
            return grad * grad.sum().item()

    with NoHostWaits(collect=True) as watch:
        Asking.apply(torch.ones(2, requires_grad=True)).sum().backward()
    assert len(watch.waits) == 1
    assert "grad.sum().item()" in watch.waits[0]


def test_copies_are_counted_as_another_device_would_need_them() -> None:
    cpu = torch.device("cpu")
    with NoHostWaits(collect=True, as_if_copied=True) as watch:
        values = torch.ones(2)
        values.to(cpu)
        values.to("cpu", torch.float64)
        torch.tensor([1.0], device=cpu)
        assert len(watch.waits) == 3
        values.to(cpu, non_blocking=True)
        values.to(torch.float64)
        values.to(memory_format=torch.contiguous_format)
        torch.ones(2, device=cpu)
    assert len(watch.waits) == 3
    with NoHostWaits():
        values.to(cpu)
