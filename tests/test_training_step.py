"""A training step in its forms: the same losses and gradients, no wait for the device, networks that compile whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from draws_ahead import DrawsAhead
from host_waits import NoHostWaits
from recorded_step import RecordedStep
from step_form import StepForm
from step_runs import step_run
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from trainer import Trainer
from training_step import TrainingStep

from groupdnet_hub.networks.layers import GroupedConv2d

PLAIN = StepForm(working=False)
FORMS = {"working": StepForm(working=True), "dense": StepForm(working=True, dense=True)}
# Every loss and stream of GroupDNet, and the other systems.
EVERYTHING = (
    "--width 4 --resolution 32 --hidden_channels 4 --code_placement box --encoder_colours --class_order c3 c1 c2 c0 c4 c5 c6 c7 "
    "--perceptual_net vgg16 --perceptual_crop 32 --diffaugment --diffaugment_target 0.6 --class_balance 0.5 "
    "--l1_weight 5 --kl_free_nats 0.1 --redraw_weight 10 --redraw_memory 4 --discriminator_norm none "
    "--discriminator_width 4 --r1_weight 5 --r1_interval 1 --discriminator_crop 16 --recoloured_classes c4 c5 "
    "--recoloured_share 0.5"
)
SYSTEM = "--width 8 --resolution 32 --perceptual_net none --discriminator_width 4 "
RUNS = {
    "everything": EVERYTHING,
    "paper": "--width 4 --resolution 32 --perceptual_net vgg19 --discriminator_width 4",
    "segmentation": SYSTEM + "--discriminator segmentation --redraw_weight 10 --diffaugment",
    **{
        name: SYSTEM + f"--model {name}"
        for name in ("MulNet", "GroupNet", "GroupEnc", "VSPADE", "BicycleGAN", "DSCGAN", "pix2pixHD")
    },
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settle(network: nn.Module) -> None:
    """Bring singular vectors to where another iteration changes nothing: forms iterate differently often."""
    for layer in network.modules():
        if isinstance(layer, GroupedConv2d) and layer.spectral_norm:
            for _ in range(400):
                layer._iterate()


def gradients_of(optimizer: Any) -> list[dict[int, Tensor]]:
    """Where gradients go when an optimiser makes its steps."""
    found: list[dict[int, Tensor]] = []

    def note(inner: Any, *_: Any) -> None:
        parameters = [p for group in inner.param_groups for p in group["params"]]
        found.append({i: p.grad.clone() for i, p in enumerate(parameters) if p.grad is not None})

    optimizer.optimizer.register_step_pre_hook(note)
    return found


def one_step(flags: str, form: StepForm) -> tuple[dict[str, Tensor], list[dict[int, Tensor]]]:
    """Losses and gradients of the first step, in double precision."""
    with step_run(flags.split(), form) as (trainer, batches):
        for network in (trainer.model, trainer.discriminator):
            network.double()
            settle(network)
        if trainer.perceptual is not None:
            trainer.perceptual.double()
        found = [gradients_of(optimizer) for optimizer in (trainer.optimizer, trainer.discr_optimizer)]
        losses = trainer.update({**batches[0], "image": batches[0]["image"].double()})
        return losses, [of_network[0] for of_network in found]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("run", RUNS)
def test_losses_and_gradients_are_those_of_the_plain_form(run: str, form: str) -> None:
    losses, gradients = one_step(RUNS[run], PLAIN)
    found_losses, found_gradients = one_step(RUNS[run], FORMS[form])
    assert losses.keys() == found_losses.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(found_losses[name].double(), loss.double(), rtol=1e-5, atol=1e-9, msg=name)
    for network, wanted in zip(found_gradients, gradients, strict=True):
        assert network.keys() == wanted.keys()
        whole = torch.stack([value.norm() for value in wanted.values()]).norm()
        for i, value in wanted.items():
            # A bias in front of a batch norm has a gradient of rounding errors.
            assert (network[i] - value).norm() <= 1e-5 * value.norm() + 1e-9 * whole, i


@pytest.mark.parametrize("run", RUNS)
def test_no_step_of_the_dense_form_waits_for_the_device(run: str) -> None:
    with step_run(RUNS[run].split(), FORMS["dense"]) as (trainer, batches):
        trainer.update(batches[0])
        trainer.step = 1
        trainer.update(batches[1])
        with NoHostWaits():
            trainer.update(batches[0])


def test_the_look_up_does_wait() -> None:
    """What the test above would find."""
    with step_run(RUNS["everything"].split(), FORMS["working"]) as (trainer, batches):
        with NoHostWaits(collect=True) as waits:
            trainer.update(batches[0])
    assert any("_unique2" in wait for wait in waits.waits)


def test_rounded_networks_learn_the_same_but_for_rounding() -> None:
    losses: list[Mapping[str, Tensor]] = []
    for form in (PLAIN, StepForm(working=True, dense=True, dtype=torch.bfloat16)):
        with step_run(RUNS["everything"].split(), form) as (trainer, batches):
            for network in (trainer.model, trainer.discriminator):
                settle(network)
            losses.append(trainer.update(batches[0]))
            assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    for name, loss in losses[0].items():
        torch.testing.assert_close(losses[1][name].float(), loss, rtol=0.05, atol=0.02, msg=name)


@pytest.mark.parametrize("run", ["everything", "paper"])
def test_networks_compile_whole(run: str) -> None:
    """With ``fullgraph=True``, forward and backward, and the result stays."""
    results = []
    for compiled in (False, True):
        with step_run(RUNS[run].split(), FORMS["dense"]) as (trainer, batches):
            if compiled:
                trainer.compile(backend="aot_eager", fullgraph=True)
            results.append(trainer.update(batches[0]))
    for name, loss in results[0].items():
        torch.testing.assert_close(results[1][name], loss, rtol=1e-4, atol=1e-5, msg=name)


# -- recorded steps ------------------------------------------------------------------------------------------------


class Tape(TorchDispatchMode):
    """Records work as a CUDA graph does: every operation on the memory that it had, and nothing of what Python did."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        for func, args, kwargs, result in self.operations:
            again = func(*args, **kwargs)
            tree_map(lambda old, new: _overwrite(old, new), result, again)


def _overwrite(old: Any, new: Any) -> None:
    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
        old.copy_(new)


def taped(work: Callable[[], None]) -> Callable[[], None]:
    """Record without leaving a trace: what the recording did is undone by whoever calls."""
    with Tape() as tape:
        work()

    def replay() -> None:
        with torch.no_grad():
            tape.replay()

    return replay
