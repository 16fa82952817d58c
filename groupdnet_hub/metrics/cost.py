"""The cost of a system: parameters, multiplications, time (Table 1)."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from groupdnet_hub.models.interface import ImageSynthesisSystem


def count_parameters(system: nn.Module) -> int:
    """Return the number of parameters of all networks: generator and, if there is one, encoder, as in Table 1."""
    return sum(parameter.numel() for parameter in system.parameters())


def count_macs(system: ImageSynthesisSystem, label: Tensor, instance: Tensor | None = None) -> int:
    """Return the multiply-accumulate operations of convolutions and matrix products in drawing one picture.

    Args:
        system: system that draws.
        label: int64 [1, H, W]; its own processing counts, as in Table 1's speed.
        instance: int64 [1, H, W], for a system that needs it.
    """
    codes = _codes(system, label)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        system.decode(codes, label, instance)
    return int(counter.get_total_flops()) // 2


def frames_per_second(
    system: ImageSynthesisSystem,
    label: Tensor,
    instance: Tensor | None = None,
    *,
    prepared: bool = False,
    decodes: int = 20,
    warm_up: int = 3,
) -> float:
    """Return the number of pictures per second, drawn one at a time.

    Args:
        system: system that draws.
        label: int64 [1, H, W].
        instance: int64 [1, H, W], for a system that needs it.
        prepared: whether to exclude the label map's processing, as for many pictures of one map.
        decodes: number of timed pictures.
        warm_up: number of pictures before them, which are not timed.

    Raises:
        ValueError: if none is timed.
    """
    if decodes < 1 or warm_up < 0:
        raise ValueError(f"{decodes} timed decodes after {warm_up}: time at least 1")
    codes = _codes(system, label)
    with torch.inference_mode():
        prepared_map = system.prepare(label, instance) if prepared else None
        for turn in range(warm_up + decodes):
            if turn == warm_up:
                _wait_for(system.device)
                started = time.perf_counter()
            if prepared_map is None:
                system.decode(codes, label, instance)
            else:
                system.decode(codes, prepared_map)
        _wait_for(system.device)
        return decodes / (time.perf_counter() - started)


def _codes(system: ImageSynthesisSystem, label: Tensor) -> Tensor:
    size = (label.shape[1], label.shape[2])
    return system.sample_codes(1, generator=torch.Generator().manual_seed(0), label_size=size)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
