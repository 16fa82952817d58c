"""How rates and weights change over a run, and the optimiser."""

from __future__ import annotations

import torch
from torch import nn


def learning_rate_factor(step: float, decay_start: float, total: float) -> float:
    """Constant 1, then linearly down to 0 at ``total`` (section 4.1: 60 + 40 epochs on DeepFashion)."""
    if step <= decay_start or total <= decay_start:
        return 1.0
    return max(0.0, 1.0 - (step - decay_start) / (total - decay_start))


def kl_weight_at(step: int, start: float | None, end: float, warmup_steps: int) -> float:
    """KL weight: linear from ``start`` at step 0 to ``end`` at ``warmup_steps``, constant from there on."""
    if start is None or step >= warmup_steps:
        return end
    return start + (end - start) * step / warmup_steps


def risen_share(step: int, start: int, steps: int) -> float:
    """Share of a weight that rises linearly from 0 at step ``start`` to 1, ``steps`` steps later."""
    if step >= start + steps:
        return 1.0
    return max(0.0, (step - start) / steps)


def make_optimizer(
    kind: str, network: nn.Module, rate: float, betas: tuple[float, float], device_type: str
) -> torch.optim.Optimizer:
    """``adam`` (section 4.1; fused where the device has it), or plain ``sgd``."""
    if kind == "sgd":
        return torch.optim.SGD(network.parameters(), lr=rate)
    if device_type != "cuda":
        return torch.optim.Adam(network.parameters(), lr=rate, betas=betas, fused=device_type == "cpu")
    # On the device, where a recorded step finds the rate that holds.
    on_device = torch.tensor(rate, device=device_type)
    return torch.optim.Adam(network.parameters(), lr=on_device, betas=betas, fused=True, capturable=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Choose the learning rate of an optimiser of :func:`make_optimizer`, whose state may be from another device."""
    for group in optimizer.param_groups:
        device = group["params"][0].device
        if "capturable" not in group or device.type != "cuda":
            group["lr"] = rate
        elif isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = torch.tensor(rate, device=device)
        if "capturable" in group:
            group["capturable"] = device.type == "cuda"
