"""The per-pixel discriminator: it judges pictures of any size pixel by pixel, and what its losses are, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.baselines import system_config
from groupdnet_hub.models.layers import GroupedConv2d
from groupdnet_hub.models.segmentation_discriminator import SegmentationDiscriminator
from groupdnet_hub.training.objectives.segmentation_losses import (
    class_counts,
    class_targets,
    consistency_loss,
    fake_loss,
    realness,
    segmentation_loss,
)
from tests.helpers.label_examples import numbered


def some_pictures(count: int, size: tuple[int, int]) -> Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def made(size: tuple[int, int], width: int = 2, classes: int = 4) -> SegmentationDiscriminator:
    labels = numbered(classes)
    fields = {"discriminator": "segmentation", "discriminator_width": width}
    return SegmentationDiscriminator(GroupDNetConfig.for_labels(labels, size, 4, **fields))


@pytest.mark.parametrize("size", [(8, 8), (64, 64), (128, 64), (256, 128), (256, 256), (512, 256), (64, 48)])
def test_every_pixel_gets_logits(size: tuple[int, int]) -> None:
    logits = made(size, width=1)(torch.zeros(2, 3, *size))
    assert logits.shape == (2, 5, *size)


@pytest.mark.parametrize("size", [(32, 32), (33, 17), (100, 96)])
def test_windows_of_other_sizes(size: tuple[int, int]) -> None:
    """Enlarged or cut pictures need not have the sides that the network was made for."""
    network = made((64, 32))
    features = network.features(some_pictures(1, size))
    assert features[-1].shape == (1, 5, *size)
    assert len(features) == 5  # three halvings: four sizes, and the logits


def test_a_pixel_is_judged_by_what_is_far_and_most_by_what_is_near() -> None:
    picture = some_pictures(1, (64, 32)).requires_grad_()
    made((64, 32))(picture)[0, 1, 0, 0].backward()
    gradient = picture.grad[0].abs().amax(dim=0)
    assert gradient[32:, :].any()
    assert gradient[:, 24:].any()
    assert gradient[:4, :4].mean() > 10 * gradient[16:, 16:].mean()


def test_all_weights_are_used_and_fixed_by_the_seed() -> None:
    first, second = made((32, 32)), made((32, 32))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    first(some_pictures(1, (32, 32))).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in first.parameters())
    convolutions = [part for part in first.modules() if isinstance(part, GroupedConv2d)]
    assert [part for part in convolutions if not part.spectral_norm] == [first.last]


def test_a_deeper_one_knows_all_that_a_smaller_one_knows() -> None:
    """The weights for small pictures fit a model that was grown; what is missing is its innermost level."""
    small, large = made((32, 16)).state_dict(), made((64, 32)).state_dict()
    assert all(large[name].shape == value.shape for name, value in small.items())
    assert {name[:6] for name in large.keys() - small.keys()} == {"down.2", "up.2.c"}


def test_the_kind_is_part_of_the_configuration() -> None:
    config = GroupDNetConfig.for_labels(numbered(4), (32, 32), 4)
    assert config.discriminator == "multiscale"
    older = config.to_dict()
    del older["discriminator"]
    assert GroupDNetConfig.from_dict(older) == config
    other = config.replace(discriminator="segmentation")
    assert GroupDNetConfig.from_json(other.to_json()) == other
    with pytest.raises(ValueError, match="discriminator is 'pixels'; it must be one of 'multiscale', 'segm"):
        config.replace(discriminator="pixels")
    with pytest.raises(ValueError, match="discriminator is 'pixels'"):
        system_config("SPADE", numbered(4), (32, 32), 4, discriminator="pixels")


def test_pixels_without_a_class_are_no_target() -> None:
    one_hot = torch.zeros(1, 2, 1, 4)
    one_hot[0, 1, 0, 0] = 1.0
    one_hot[0, :, 0, 1] = torch.tensor([0.6, 0.4])
    one_hot[0, 0, 0, 2] = 0.3
    target = class_targets(one_hot)
    assert target.tolist() == [[[1, 0, -1, -1]]]
    assert class_counts(target, 3).tolist() == [1, 1, 0]


def test_every_class_counts_alike() -> None:
    """Three pixels of class 0 and one of class 1, beside one without a class; class 2 is not shown."""
    target = torch.tensor([[[0, 0, 0, 1, -1]]])
    logits = torch.zeros(1, 4, 1, 5, requires_grad=True)
    with torch.no_grad():
        logits[0, 1, 0, 3] = 2.0
    loss = segmentation_loss(logits, target, class_counts(target, 3))
    of_one = math.log(math.exp(2) + 3) - 2
    assert float(loss.detach()) == pytest.approx((math.log(4) + of_one) / 2, rel=1e-5)
    # Eq. 2: a pixel of class c counts by alpha_c = pixels / pixels of class c; over the number of classes.
    entropy = F.cross_entropy(logits.detach(), target.clamp(min=0), reduction="none")[0, 0, :4]
    alpha = 4 / torch.tensor([3.0, 3.0, 3.0, 1.0])
    assert float(loss.detach()) == pytest.approx(float((alpha * entropy).mean() / 2), rel=1e-5)
    loss.backward()
    assert (logits.grad[0, :, 0, :4] != 0).all()
    assert (logits.grad[0, :, 0, 4] == 0).all()


def test_no_class_at_all_is_no_loss() -> None:
    target = torch.full((1, 2, 2), -1)
    loss = segmentation_loss(torch.zeros(1, 4, 2, 2), target, class_counts(target, 3))
    assert float(loss) == 0


def test_fake_pixels_and_realness_by_hand() -> None:
    logits = torch.zeros(1, 4, 1, 2)
    logits[0, 3, 0, 0] = 1.0
    first, second = math.log(math.e + 3) - 1, math.log(4)
    assert float(fake_loss(logits, torch.ones(1, 1, 1, 2))) == pytest.approx((first + second) / 2, rel=1e-5)
    weights = torch.tensor([[[[2.0, 0.0]]]])
    assert float(fake_loss(logits, weights)) == pytest.approx(first, rel=1e-5)
    expected = [math.log(3) - 1, math.log(3)]
    assert realness(logits)[0, 0, 0].tolist() == pytest.approx(expected, rel=1e-5)


def test_the_consistency_loss_by_hand() -> None:
    mixed = torch.zeros(2, 3, 4, 4)
    assert float(consistency_loss(mixed, mixed)) == 0
    assert float(consistency_loss(mixed + 0.5, mixed)) == pytest.approx(0.25)
