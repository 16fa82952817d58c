"""Losses and gradients that are not finite: such an update is never made, and the run stops or leaves it out.

The device finds out and keeps count by itself; the host reads the count where it waits for the device anyway, when
losses are logged and checkpoints written. Until then nothing is lost: weights and moments stay those of the last good
update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from groupdnet_hub import GroupDNet
from groupdnet_hub.data.unknown import with_grey_unknown
from groupdnet_hub.training.objectives.discriminator_inputs import Batch
from groupdnet_hub.training.step import Learner

# Updates in a row that are left out before the run gives up.
MOST_IN_A_ROW = 20

_NEVER = 2**62
_GRADIENTS = ("the gradient of the generator", "the gradient of the discriminator")


class FiniteGuard:
    """Leaves out updates whose gradients are not finite.

    Gradients are those of all processes, so that all of them leave out the same updates. With fp16, whose loss scaling
    leaves out such updates by itself, only losses are looked at.

    Args:
        learner: the networks and their optimisers, whose updates it follows from now on.
        skips: whether training goes on after such an update (``--on_nan skip``); if not, no further one is made.
    """

    def __init__(self, learner: Learner, *, skips: bool) -> None:
        self._learner, self._skips = learner, skips
        device = learner.accelerator.device
        # Updated in place: what is recorded of a step continues in the same memory.
        self._bad = torch.zeros(2, dtype=torch.bool, device=device)
        self._halted = torch.zeros((), dtype=torch.bool, device=device)
        self._left_out, self._row, self._longest = torch.zeros(3, dtype=torch.int64, device=device).unbind()
        # The first step at which each gradient and loss was not finite, for steps of each kind.
        self._first: dict[tuple[str, ...], Tensor] = {}
        self._batch: Batch | None = None
        self._told = 0
        if learner.accelerator.mixed_precision != "fp16":
            for index, optimizer in enumerate((learner.optimizer, learner.discr_optimizer)):
                bare: Any = getattr(optimizer, "optimizer", optimizer)
                bare.register_step_pre_hook(partial(self._judge, index))
        self._state: list[Tensor] = []
        self._saved: list[Tensor] = []

    def begin(self) -> None:
        """Take note of the state from which training starts or resumes."""
        if self._skips:
            self._state = list(self._state_of_batches())
            self._saved = [tensor.clone() for tensor in self._state]

    @torch.no_grad()
    def follow(self, step: int, losses: Mapping[str, Tensor], batch: Batch) -> None:
        """Take note of an update that was made or left out; nothing is waited for.

        Args:
            step: number of the update, from 1.
            losses: scalars by name.
            batch: the pictures that they are of.
        """
        self._batch = batch
        names, values = tuple(losses), torch.stack([loss.detach().float() for loss in losses.values()])
        if names not in self._first:
            self._first[names] = torch.full((2 + len(names),), _NEVER, device=values.device)
        first, found = self._first[names], torch.cat([self._bad, values.isfinite().logical_not()])
        torch.where(found, first.clamp(max=step), first, out=first)
        if self._skips:
            bad = self._bad.any()
            self._left_out.add_(bad)
            self._row.add_(1).mul_(bad)
            torch.maximum(self._longest, self._row, out=self._longest)
            for live, saved in zip(self._state, self._saved, strict=True):
                torch.where(bad, saved, live, out=saved)
                live.copy_(saved)
        self._bad.zero_()

    def check(self) -> dict[str, float]:
        """Wait for the device, and say what was left out since the last time; every process calls it at the same step.

        Returns:
            What is to be logged.

        Raises:
            ValueError: for a loss or a gradient that is not finite, or too many in a row; it names the first step, the
                losses and, where only some have codes that are not finite, the classes.
        """
        at_fault = self._steps()
        if not self._skips:
            if at_fault:
                raise ValueError(
                    f"{self._about(at_fault)}: lower the learning rates or the weight of that loss, or leave out such "
                    "updates with --on_nan skip"
                )
            return {}
        left_out, longest = torch.stack([self._left_out, self._longest]).tolist()
        if longest >= MOST_IN_A_ROW:
            raise ValueError(
                f"{longest} updates in a row were left out, {self._about(at_fault)}: lower the learning rates or the "
                "weight of that loss, and resume"
            )
        if left_out > self._told:
            count = left_out - self._told
            told = f"{count} update{'s were' if count > 1 else ' was'} left out"
            self._learner.accelerator.print(f"{told}: {self._about(at_fault)}")
        self._told = left_out
        for first in self._first.values():
            first.fill_(_NEVER)
        return {"updates_left_out": float(left_out)}

    @torch.no_grad()
    def check_weights(self, *networks: nn.Module) -> None:
        """Refuse networks whose weights or statistics are not finite.

        Raises:
            ValueError: if one is not.
        """
        tensors = (tensor for network in networks for tensor in network.state_dict().values())
        finite = [tensor.isfinite().all() for tensor in tensors if tensor.is_floating_point()]
        if finite and not bool(torch.stack(finite).all()):
            raise ValueError(
                "weights are not finite, and no checkpoint of them is written: lower the learning rates"
            )

    def _judge(self, index: int, optimizer: torch.optim.Optimizer, *given: object) -> None:
        """Before an optimiser's update: have the device leave it out if a gradient is not finite."""
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        if not gradients:
            return
        bad = torch.stack(torch._foreach_norm(gradients)).sum().isfinite().logical_not()
        self._bad[index].copy_(bad)
        if not self._skips:
            bad = self._halted.logical_or_(bad)
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            # What loss scaling uses too: a fused optimiser leaves weights, moments and its count as they are.
            optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        elif bool(bad):
            for gradient in gradients:
                gradient.zero_()

    def _state_of_batches(self) -> Iterable[Tensor]:
        """Yield what forwards change in place from the batch's numbers: statistics, and memories of the streams."""
        unwrap, streams = self._learner.accelerator.unwrap_model, self._learner.streams
        networks: tuple[nn.Module, ...] = unwrap(self._learner.model), unwrap(self._learner.discriminator)
        for network in networks:
            for module in network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    yield from module.buffers(recurse=False)
        for part in streams.parts().values():
            yield from (tensor for key, tensor in part.state_dict().items() if key != "generator")

    def _steps(self) -> dict[str, int]:
        """Return the first step of each gradient and loss that was not finite, over all processes."""
        if not self._first:
            return {}
        together = torch.cat(list(self._first.values()))
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(together, op=dist.ReduceOp.MIN)
        names = [name for losses in self._first for name in (*_GRADIENTS, *losses)]
        found: dict[str, int] = {}
        for name, step in zip(names, together.tolist(), strict=True):
            if step != _NEVER:
                found[name] = min(step, found.get(name, step))
        return found

    def _about(self, at_fault: Mapping[str, int]) -> str:
        """Return a clause that names the first step that was not finite, and what was not."""
        step = min(at_fault.values(), default=0)
        names = [name for name, first in at_fault.items() if first == step]
        losses = [name for name in names if name not in _GRADIENTS]
        if losses:
            what = f"a loss is not finite at step {step}: {', '.join(losses)}"
        else:
            what = f"{' and '.join(names)} is not finite at step {step}"
        classes = self._classes()
        return what if not classes else f"{what} (the codes of {', '.join(classes)} are not finite)"

    @torch.no_grad()
    def _classes(self) -> list[str]:
        """Return the classes whose codes of the last batch are not finite, if others' are."""
        model: nn.Module = self._learner.accelerator.unwrap_model(self._learner.model)
        if not isinstance(model, GroupDNet) or self._batch is None:
            return []
        batch = with_grey_unknown(self._batch)
        was_training = model.training
        posterior = model.eval().encode(batch["image"].float(), batch["label"])
        model.train(was_training)
        spread = posterior.mean + posterior.logvar.exp()
        finite = spread.isfinite().transpose(0, 1).flatten(1).all(dim=1).tolist()
        names = [name for name, good in zip(model.labels.names, finite, strict=True) if not good]
        return names if len(names) < len(finite) else []
