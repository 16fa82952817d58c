"""The forms of a training step, runs that have every loss, and steps that are recorded without a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from groupdnet_hub.training.fast.draws_ahead import DrawsAhead
from groupdnet_hub.training.fast.recorded_step import RecordedStep
from groupdnet_hub.training.fast.step_form import StepForm
from groupdnet_hub.training.fast.working_step import WorkingStep
from tests.helpers.step_runs import StepRun

PLAIN = StepForm(working=False)
FORMS = {"working": StepForm(working=True), "dense": StepForm(working=True, dense=True)}
# Every loss and stream of GroupDNet, and the other systems.
EVERYTHING = (
    "--width 4 --resolution 32 --hidden_channels 4 --code_placement box --encoder_colours "
    "--class_order c3 c1 c2 c0 c4 c5 c6 c7 "
    "--perceptual_net vgg16 --perceptual_crop 32 --diffaugment --diffaugment_target 0.6 --class_balance 0.5 "
    "--l1_weight 5 --kl_free_nats 0.1 --redraw_weight 10 --redraw_memory 4 --discriminator_norm none "
    "--discriminator_width 4 --r1_weight 5 --r1_interval 1 --discriminator_crop 16 --recoloured_classes c4 c5 "
    "--recoloured_share 0.5"
)
SYSTEM = "--width 8 --resolution 32 --perceptual_net none --discriminator_width 4 "
RUNS = {
    "everything": EVERYTHING,
    "redraw window": "--width 4 --resolution 64 --perceptual_net none --discriminator_width 4 --redraw_weight 10 "
    "--redraw_window 0.5",
    "paper": "--width 4 --resolution 32 --perceptual_net vgg19 --discriminator_width 4",
    "segmentation": SYSTEM + "--discriminator segmentation --redraw_weight 10 --diffaugment",
    **{
        name: SYSTEM + f"--model {name}"
        for name in ("MulNet", "GroupNet", "GroupEnc", "VSPADE", "BicycleGAN", "DSCGAN", "pix2pixHD")
    },
}


class Tape(TorchDispatchMode):
    """Records work as a CUDA graph does: every operation on the memory that it had, and nothing of what Python did."""

    def __init__(self) -> None:
        super().__init__()
        self._operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self._operations.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, result in self._operations:
                tree_map(_into_memory, result, func(*args, **kwargs))


def _into_memory(recorded: Any, again: Any) -> None:
    if isinstance(recorded, Tensor) and recorded.data_ptr() != again.data_ptr():
        recorded.copy_(again)


def taped(state: Callable[[], list[Tensor]]) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """A recorder that, as one of CUDA graphs, leaves ``state`` as it was while it records."""

    def record(work: Callable[[], None]) -> Callable[[], None]:
        before = [tensor.clone() for tensor in state()]
        with Tape() as tape:
            work()
        with torch.no_grad():
            for tensor, value in zip(state(), before, strict=True):
                tensor.copy_(value)
        return tape.replay

    return record


def state_of(run: StepRun) -> list[Tensor]:
    """All tensors that a step changes."""
    found = [*(value for network in run.networks for value in network.state_dict().values())]
    for optimizer in run.optimizers:
        found += [v for values in optimizer.state.values() for v in values.values() if isinstance(v, Tensor)]
    for part in run.learner.streams.parts().values():
        found += [value for name, value in part.state_dict().items() if name != "generator"]
    return found


def rates_on_the_device(run: StepRun) -> None:
    """As :func:`groupdnet_hub.training.schedules.make_optimizer` has it on CUDA."""
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]))


def record_step(run: StepRun, record: Any) -> RecordedStep:
    step = WorkingStep(run.learner, run.form)
    draws = DrawsAhead(torch.device("cpu"))
    run.learner.streams.draw_ahead(draws)
    return RecordedStep(step, draws, record, torch.device("cpu"))
