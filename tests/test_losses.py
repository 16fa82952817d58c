"""The KL divergence's free part; the losses themselves are compared with the paper's in test_parity.py."""

from __future__ import annotations

import pytest
import torch

from groupdnet_hub import Gaussian, kl_loss


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
