"""What several processes share: batch statistics and noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from groupdnet_hub.training.fast.draws_ahead import Draw, DrawsAhead


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; so is the gradient, because every process uses the sum."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        dist.all_reduce(total)
        return total


class AllReduceBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes, on any device.

    ``nn.SyncBatchNorm`` does the same on CUDA only. Weights and buffers have the names of ``nn.BatchNorm2d``.
    Every process must hold as many pictures as the others.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input.float()
        processes = dist.get_world_size()
        mean = _SumOverProcesses.apply(x.mean(dim=(0, 2, 3))) / processes
        centred = x - mean[:, None, None]
        # In two passes: the difference of two large moments would lose the digits of a small variance.
        variance = _SumOverProcesses.apply(centred.square().mean(dim=(0, 2, 3))) / processes
        if (
            self.running_mean is not None
            and self.running_var is not None
            and self.num_batches_tracked is not None
        ):
            count = x.numel() / x.shape[1] * processes
            self.num_batches_tracked += 1
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean), share)
                self.running_var.lerp_((variance * count / max(count - 1, 1)).to(self.running_var), share)
        y = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            y = torch.addcmul(self.bias[:, None, None], y, self.weight[:, None, None])
        return y.to(input.dtype)


class DividedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation of each of several parts of a batch on its own.

    So it does on one device what unsynchronised batch norms do on several (Table 3, "w/o SyncBN"). Running statistics
    follow one part after the other.
    """

    def __init__(self, parts: int, *args: Any) -> None:
        super().__init__(*args)
        self.parts = parts

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        return torch.cat([super(DividedBatchNorm2d, self).forward(part) for part in input.chunk(self.parts)])


def synchronise_batch_norm(module: nn.Module, device_type: str) -> nn.Module:
    """The module with every batch norm made to measure the batches of all processes; keys stay the same."""
    if device_type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    return _replace_batch_norm(module, AllReduceBatchNorm2d)


def divide_batch_norm(module: nn.Module, parts: int) -> nn.Module:
    """The module with every batch norm made to measure so many parts of a batch on their own; keys stay the same."""
    return _replace_batch_norm(module, partial(DividedBatchNorm2d, parts))


def _replace_batch_norm(module: nn.Module, make: Callable[..., nn.BatchNorm2d]) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            other = make(child.num_features, child.eps, child.momentum, child.affine)
            other.load_state_dict(child.state_dict())
            setattr(module, name, other)
        else:
            _replace_batch_norm(child, make)
    return module


class SharedStream:
    """Random draws for the pictures of all processes, so that they do not depend on how many processes there are.

    Its state is part of a checkpoint.

    Attributes:
        number: of the kind of stream; each kind draws for itself.
        ahead: where its numbers are drawn ahead, see :mod:`groupdnet_hub.training.fast.draws_ahead`.
    """

    number: ClassVar[int]
    ahead: DrawsAhead | None = None

    def __init__(self, seed: int, process_index: int, num_processes: int) -> None:
        self.generator = torch.Generator().manual_seed(seed * 65_537 + self.number)
        self.process_index, self.num_processes = process_index, num_processes

    def compile(self, **options: Any) -> None:
        """Have ``torch.compile`` take what is done with the numbers, where that is worth it; nothing here."""

    def uniform(self, *shape: int, device: torch.device) -> Tensor:
        """Numbers from 0 to 1 for this process's batch."""
        return self._drawn(torch.rand, shape, device)

    def on_host(self, draw: Draw, shape: tuple[int, ...]) -> Tensor:
        """The next numbers by ``torch.rand`` or ``torch.randn`` for this process's batch, on the CPU."""
        return draw((self.num_processes, *shape), generator=self.generator)[self.process_index]

    def _drawn(self, draw: Draw, shape: tuple[int, ...], device: torch.device) -> Tensor:
        if self.ahead is not None:
            return self.ahead.take(self, draw, shape)
        return self.on_host(draw, shape).to(device)

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """From a checkpoint."""
        self.generator.set_state(state["generator"].cpu())


class NoiseSource(SharedStream):
    """The codes' noise."""

    number = 0

    def draw(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Standard normal noise for this process's batch."""
        return self._drawn(torch.randn, shape, device)


def tensor_mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, without gradients."""
    if not (dist.is_available() and dist.is_initialized()):
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def mean_over_processes(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Scalar tensors as numbers, averaged over all processes."""
    names = sorted(values)
    stacked = torch.stack([values[name].detach().float() for name in names])
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(stacked)
        stacked /= dist.get_world_size()
    return dict(zip(names, stacked.tolist(), strict=True))
