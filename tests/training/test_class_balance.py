"""Class balance in training: places of small classes count more in the discriminator's losses and the distance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.training.build import build_objective
from groupdnet_hub.training.objectives.groupdnet import MultiScaleObjective
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.objectives.objective import ObjectiveParts
from tests.helpers.command_lines import train_settings
from tests.helpers.label_examples import numbered
from tests.helpers.trained_models import random_inputs, trained_like

CONFIG = GroupDNetConfig.for_labels(numbered(4), (32, 32), 4)


class SaysYesToClassOne(nn.Module):
    """Its logits are 1 where the label map shows class 1, and 0 elsewhere."""

    def forward(self, shown: Tensor) -> list[list[Tensor]]:
        return [[shown[:, :1], shown[:, 1:2]]]


@pytest.mark.parametrize(("balance", "share"), [(0.0, 1 / 16), (1.0, 1 / 2)])
def test_a_small_class_has_its_say(balance: float, share: float) -> None:
    model = trained_like(CONFIG)
    image, label, noise = random_inputs(CONFIG)
    label = torch.zeros_like(label)
    label[:, :8, :8] = 1
    batch, discriminator = {"image": image, "label": label}, SaysYesToClassOne()
    objective = MultiScaleObjective(CONFIG, ObjectiveParts(class_balance=balance))
    losses, pictures = objective.generator_losses(model, discriminator, batch, noise, LossWeights())
    assert float(losses["adversarial"].detach()) == pytest.approx(-share)
    on_both = objective.discriminator_losses(discriminator, pictures, batch)
    assert float(on_both["discriminator_fake"]) == pytest.approx(1 + share)
    assert float(on_both["discriminator_real"]) == pytest.approx(1 - share)


@pytest.mark.parametrize(("balance", "share"), [(0.0, 1 / 16), (1.0, 1 / 2)])
def test_the_distance_to_the_picture(balance: float, share: float) -> None:
    """A picture that is wrong by 1/2 where it shows the small class, and right elsewhere."""
    picture, label, noise = random_inputs(CONFIG)
    label = torch.zeros_like(label)
    label[:, :8, :8] = 1

    def model(*_: object) -> tuple[Tensor, None]:
        return picture, None

    objective = MultiScaleObjective(CONFIG, ObjectiveParts(class_balance=balance))
    batch = {"image": picture + (label == 1)[:, None] / 2, "label": label}
    losses, _ = objective.generator_losses(model, SaysYesToClassOne(), batch, noise, LossWeights(l1=3.0))
    assert float(losses["l1"]) == pytest.approx(3 * share / 2, rel=1e-4)
    without, _ = objective.generator_losses(model, SaysYesToClassOne(), batch, noise, LossWeights())
    assert "l1" not in without


@pytest.mark.parametrize(
    ("objective", "weight"), [("hinge", 0), ("pix2pixhd", 0), ("bicyclegan", 10), ("dscgan", 10)]
)
def test_the_weight_of_the_distance_is_the_systems(objective: str, weight: float) -> None:
    for given, expected in (([], weight), (["--l1_weight", "2"], 2)):
        assert train_settings(".", *given).resolved(objective, 1).l1_weight == expected


@pytest.mark.parametrize("name", ["bicyclegan", "dscgan"])
def test_losses_of_others_refuse_it(name: str) -> None:
    with pytest.raises(ValueError, match=f"--class_balance has no effect: {name}"):
        build_objective(name, CONFIG, ObjectiveParts(class_balance=0.5))
