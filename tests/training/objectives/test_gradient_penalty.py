"""R1: the squared gradient of what is minimised, on real pictures, every few steps."""

from __future__ import annotations

import pytest
import torch

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.baselines import system_config
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.labels import one_hot
from groupdnet_hub.training.augment.diffaugment import DiffAugment
from groupdnet_hub.training.objectives.gradient_penalty import LazyR1
from groupdnet_hub.training.objectives.groupdnet import MultiScaleObjective
from groupdnet_hub.training.objectives.latent import BicycleObjective, DiversityObjective
from groupdnet_hub.training.objectives.losses import class_weights
from groupdnet_hub.training.objectives.objective import ObjectiveParts
from groupdnet_hub.training.shared_stream import RunSeed


def example(config: object, batch: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(batch, 3, 32, 32, generator=generator) * 2 - 1
    return {"image": image, "label": torch.randint(8, (batch, 32, 32), generator=generator)}


@pytest.mark.parametrize("norm", ["instance", "none"])
@pytest.mark.parametrize("balance", [0.0, 0.5])
def test_it_is_the_squared_gradient_of_each_pictures_mean_logit(norm: str, balance: float) -> None:
    config = GroupDNetConfig.for_labels(
        FIGURE_LABELS, (32, 32), 4, discriminator_width=4, discriminator_norm=norm
    )
    objective = MultiScaleObjective(config, ObjectiveParts(class_balance=balance))
    discriminator = objective.make_discriminator(torch.Generator().manual_seed(0)).eval()
    batch = example(config)
    squares = []
    for i in range(3):
        image = batch["image"][i : i + 1].clone().requires_grad_()
        labels = one_hot(batch["label"][i : i + 1], 8)
        outputs = discriminator(torch.cat((labels, image), dim=1))
        places = class_weights(labels, balance)
        means = [
            (scale[-1] * torch.nn.functional.adaptive_avg_pool2d(places, scale[-1].shape[2:])).mean()
            for scale in outputs
        ]
        (gradient,) = torch.autograd.grad(sum(means) / len(means), image)
        squares.append(gradient.square().sum())
    penalty = LazyR1(2.0, 4).loss(objective, discriminator, batch)
    torch.testing.assert_close(penalty, 4 * torch.stack(squares).mean())


def test_it_is_due_every_few_steps_and_takes_the_gradient_down() -> None:
    config = GroupDNetConfig.for_labels(
        FIGURE_LABELS, (32, 32), 4, discriminator_width=4, discriminator_norm="none"
    )
    objective = MultiScaleObjective(config, ObjectiveParts(augment=DiffAugment(RunSeed(0))))
    discriminator = objective.make_discriminator(torch.Generator().manual_seed(0))
    r1, batch = LazyR1(10.0, 3), example(config)
    assert r1.report() == {}
    assert [r1.due(step) for step in range(7)] == [True, False, False, True, False, False, True]
    assert not LazyR1(0.0, 3).due(0)
    r1.loss(objective, discriminator, batch)
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-3)
    first = float(r1.report()["r1"])
    for _ in range(20):
        optimizer.zero_grad()
        r1.loss(objective, discriminator, batch).backward()
        optimizer.step()
    assert float(r1.report()["r1"]) < 0.5 * first


@pytest.mark.parametrize(("name", "make"), [("BicycleGAN", BicycleObjective), ("DSCGAN", DiversityObjective)])
def test_other_systems_have_it(name: str, make: type) -> None:
    config = system_config(name, FIGURE_LABELS, (32, 32), 8, discriminator_width=4)
    objective = make(config)
    discriminator = objective.make_discriminator(torch.Generator().manual_seed(0))
    LazyR1(1.0, 1).loss(objective, discriminator, example(config)).backward()
    # The last bias moves all logits alike.
    without = [
        name for name, p in discriminator.named_parameters() if p.grad is None or not p.grad.abs().sum()
    ]
    assert all(name.endswith("bias") for name in without)


def test_autocast_does_not_reach_it() -> None:
    config = GroupDNetConfig.for_labels(FIGURE_LABELS, (32, 32), 4, discriminator_width=4)
    objective = MultiScaleObjective(config)
    discriminator = objective.make_discriminator(torch.Generator().manual_seed(0)).eval()
    expected = LazyR1(1.0, 1).loss(objective, discriminator, example(config))
    discriminator.forward = torch.autocast("cpu", torch.bfloat16)(discriminator.forward)  # type: ignore[method-assign]
    with torch.autocast("cpu", torch.bfloat16):
        found = LazyR1(1.0, 1).loss(objective, discriminator, example(config))
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
