"""What several processes share: the accelerator, the statistics of batches, and means of losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import (
    DataLoaderConfiguration,
    GradientAccumulationPlugin,
    ProjectConfiguration,
    set_seed,
)
from torch import Tensor, nn

from groupdnet_hub.runs.accelerators import build_accelerator, only_deterministic_algorithms
from groupdnet_hub.training.config import ResolvedTrainConfig, TrainConfig
from groupdnet_hub.training.fast.step_form import StepForm


def start_training(settings: TrainConfig, form: StepForm) -> Accelerator:
    """Return the accelerator of a run of train.py; fix this process's seed, and the precision of its arithmetic."""
    folder = settings.output_path
    accelerator = build_accelerator(
        mixed_precision="no" if form.dtype is not None else settings.mixed_precision,  # no casts in the loop
        log_with=None if settings.report_to == "none" else settings.report_to.split(","),
        project_config=ProjectConfiguration(str(folder), logging_dir=str(folder / settings.logging_dir)),
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=settings.gradient_accumulation_steps, sync_with_dataloader=False
        ),
        # A GPU copies from pinned memory while the host continues.
        dataloader_config=DataLoaderConfiguration(
            use_seedable_sampler=True, non_blocking=torch.cuda.is_available()
        ),
    )
    set_seed(settings.seed)
    if settings.deterministic:
        only_deterministic_algorithms()
    torch.backends.cuda.matmul.allow_tf32 = settings.allow_tf32
    torch.backends.cudnn.allow_tf32 = settings.allow_tf32
    return accelerator


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
            fraction = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean), fraction)
                unbiased = variance * count / max(count - 1, 1)
                self.running_var.lerp_(unbiased.to(self.running_var), fraction)
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


def prepare_batch_norms(model: nn.Module, settings: ResolvedTrainConfig, accelerator: Accelerator) -> None:
    """Replace a model's batch norms by those that the settings ask for: of parts of a batch, or of all processes."""
    if settings.batch_norm_parts > 1:
        divide_batch_norm(model, settings.batch_norm_parts)
    elif accelerator.num_processes > 1 and settings.sync_batch_norm:
        synchronise_batch_norm(model, accelerator.device.type)


def synchronise_batch_norm(module: nn.Module, device_type: str) -> nn.Module:
    """Return the module with every batch norm replaced by one over the batches of all processes; keys stay."""
    if device_type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    return _replace_batch_norm(module, AllReduceBatchNorm2d)


def divide_batch_norm(module: nn.Module, parts: int) -> nn.Module:
    """Return the module with every batch norm replaced by one over each of n parts of a batch; keys stay."""
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


def tensor_mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a tensor over all processes, without gradients."""
    if not (dist.is_available() and dist.is_initialized()):
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def mean_over_processes(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Return scalar tensors as numbers, averaged over all processes."""
    names = sorted(values)
    stacked = torch.stack([values[name].detach().float() for name in names])
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(stacked)
        stacked /= dist.get_world_size()
    return dict(zip(names, stacked.tolist(), strict=True))
