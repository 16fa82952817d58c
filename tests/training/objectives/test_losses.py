"""The KL divergence's free part, and class-balanced losses; those of the paper are checked in test_parity.py."""

from __future__ import annotations

import pytest
import torch

from groupdnet_hub.data.labels import one_hot
from groupdnet_hub.models.encoder import Gaussian
from groupdnet_hub.training.objectives.losses import (
    class_weights,
    feature_matching_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    kl_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
)


def posterior(*means: float) -> Gaussian:
    """Two pictures, a class for each mean; its divergence is mean ** 2 / 2 nats."""
    mean = torch.tensor(means)[None, :, None, None, None].expand(2, -1, -1, -1, -1).clone().requires_grad_()
    return Gaussian(mean, torch.zeros_like(mean))


def test_a_class_below_its_free_part_costs_the_same_and_is_not_pressed() -> None:
    codes = posterior(1.0, 4.0)
    loss = kl_loss(codes, free_nats=3.0)
    assert loss.item() == pytest.approx(3.0 + 8.0)
    loss.backward()
    assert codes.mean.grad is not None
    assert (codes.mean.grad[:, 0] == 0).all()
    torch.testing.assert_close(codes.mean.grad[:, 1].sum(), torch.tensor(4.0))


def test_by_default_nothing_is_free() -> None:
    assert kl_loss(posterior(1.0, 4.0)).item() == pytest.approx(0.5 + 8.0)


def test_what_is_free_is_the_mean_over_pictures() -> None:
    mean = torch.tensor([0.0, 4.0]).view(2, 1, 1, 1, 1)
    codes = Gaussian(mean, torch.zeros_like(mean))
    assert float(kl_loss(codes, free_nats=3.0)) == pytest.approx(4.0)  # 0 and 8 nats


def a_face_in_front_of_a_wall() -> torch.Tensor:
    """Class 1 covers a sixteenth of a 16x16 label map, class 2 nothing."""
    label = torch.zeros(1, 16, 16, dtype=torch.long)
    label[:, 4:8, 8:12] = 1
    return one_hot(label, 3)


@pytest.mark.parametrize(("balance", "share"), [(0.0, 1 / 16), (0.5, 4 / (4 + 240**0.5)), (1.0, 1 / 2)])
def test_a_small_class_counts_more(balance: float, share: float) -> None:
    maps = a_face_in_front_of_a_wall()
    weights = class_weights(maps, balance)
    assert weights.shape == (1, 1, 16, 16)
    assert float(weights.mean()) == pytest.approx(1)
    assert float((weights * maps[:, 1:2]).sum() / weights.sum()) == pytest.approx(share)


def test_places_of_no_class_do_not_count() -> None:
    maps = a_face_in_front_of_a_wall().clone()
    maps[:, :, :, :4] = 0
    weights = class_weights(maps, 0.5)
    assert (weights[..., :4] == 0).all()
    assert float(weights.mean()) == pytest.approx(1)
    assert (class_weights(torch.zeros_like(maps), 0.5) == 0).all()


def test_weights_of_one_change_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    fake, real = ([[torch.randn(2, 3, 8, 8, generator=generator) for _ in range(2)]] for _ in range(2))
    ones = torch.ones(2, 1, 16, 16)
    outputs = [scale[-1] for scale in fake], [scale[-1] for scale in real]
    for loss in (hinge_discriminator_loss, least_squares_discriminator_loss):
        torch.testing.assert_close(loss(*outputs, ones), loss(*outputs))
    for loss in (hinge_generator_loss, least_squares_generator_loss):
        torch.testing.assert_close(loss(outputs[0], ones), loss(outputs[0]))
    torch.testing.assert_close(feature_matching_loss(fake, real, ones), feature_matching_loss(fake, real))


def test_balanced_losses_press_where_the_small_class_is() -> None:
    weights = class_weights(a_face_in_front_of_a_wall(), 1.0)
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    hinge_generator_loss([logits], weights).backward()
    assert logits.grad is not None
    # The face is one of 16 places: half of the loss is there.
    assert float(logits.grad[0, 0, 1, 2]) == pytest.approx(-0.5)
    assert float(logits.grad.sum()) == pytest.approx(-1)
    features = torch.zeros(1, 2, 4, 4, requires_grad=True)
    feature_matching_loss([[features, logits]], [[features.detach() - 1, logits]], weights).backward()
    assert features.grad is not None
    assert float(features.grad[0, :, 1, 2].sum()) == pytest.approx(0.5)
