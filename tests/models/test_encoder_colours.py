"""Colours for the encoder's last layers: what they are, and that codes tell colours apart that norms take away."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.models.encoder import split_and_shown
from groupdnet_hub.models.encoder_colours import cell_colours
from tests.helpers.label_examples import numbered
from tests.helpers.network_models import generator, make_model, maps

SIZE = (64, 32)


def two_pictures() -> tuple[Tensor, Tensor]:
    """(pictures [2, 3, H, W], label maps): plain colours a class; class 2 is twice as bright in the second."""
    label = maps("cells", 1, 4, SIZE).expand(2, -1, -1)
    colours = torch.tensor([[0.1, -0.3, 0.2], [0.5, 0.2, -0.4], [0.3, 0.15, 0.05], [-0.6, 0.7, 0.1]])
    image = colours[label].permute(0, 3, 1, 2).clone()
    image[1] *= torch.where(label[1] == 2, 2.0, 1.0)
    return image, label


def changes(model: GroupDNet) -> Tensor:
    """Largest difference of the two pictures' codes, for each class [C]."""
    with torch.no_grad():
        mean = model.encode(*two_pictures()).mean
    return (mean[0] - mean[1]).abs().flatten(1).amax(dim=1)


@pytest.mark.parametrize(
    "fields",
    [{}, {"split_mode": "mask"}, {"latent_mode": "vector"}, {"class_order": (2, 3, 0, 1)}],
    ids=str,
)
def test_the_brightness_of_a_plain_garment_shows_in_its_code_alone(fields: dict[str, object]) -> None:
    without = changes(make_model(4, SIZE, 4, **fields))
    with_colours = changes(make_model(4, SIZE, 4, encoder_colours=True, **fields))
    # Without them only the epsilon of the norms tells.
    assert with_colours[2] > 0.02
    assert with_colours[2] > 20 * without[2]
    assert not with_colours[[0, 1, 3]].any()


@pytest.mark.parametrize("mode", ["crop", "mask"])
def test_cells_hold_the_mean_of_their_pixels_and_their_share(mode: str) -> None:
    label = maps("noise", 2, 3, (16, 8)).clamp(max=1)
    label[1] = 0
    label[1, 3:7, 2:5] = 1
    image = torch.rand(2, 3, 16, 8, generator=generator(0)) * 2 - 1
    split, shown = split_and_shown(image, label, 3, mode)
    colours = cell_colours(split, shown, (4, 2))
    assert colours.shape == (2, 3, 4, 4, 2)
    assert not colours[:, 2].any()  # nothing is class 2
    for b, c, y, x in ((0, 0, 1, 1), (0, 1, 3, 0), (1, 1, 0, 1), (1, 1, 1, 0), (1, 0, 2, 1)):
        here = (slice(4 * y, 4 * y + 4), slice(4 * x, 4 * x + 4))
        mask = shown[b, c][here]
        assert float(colours[b, c, 3, y, x]) == pytest.approx(float(mask.float().mean()))
        pixels = split[b, 3 * c : 3 * c + 3][:, here[0], here[1]][:, mask]
        expected = pixels.mean(dim=1) if mask.any() else torch.zeros(3)
        torch.testing.assert_close(colours[b, c, :3, y, x], expected)


def test_gradients_reach_the_new_weights_of_every_class() -> None:
    model = make_model(4, SIZE, 4, encoder_colours=True).train()
    model.encode(*two_pictures()).kl().sum().backward()
    grad = model.encoder.mean.weight.grad
    assert grad is not None
    assert grad[:, -4:].flatten(1).abs().sum(dim=1).all()


@pytest.mark.parametrize(
    "fields",
    [{"split_mode": "none"}, {"encoder_grouped": False}, {"encoder_grouped": False, "split_mode": "none"}],
    ids=str,
)
def test_an_encoder_that_does_not_keep_classes_apart_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(
        ValueError, match="encoder_colours gives each class's group the colours of its pixels"
    ):
        GroupDNetConfig.for_labels(numbered(4), SIZE, 4, encoder_colours=True, **fields)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="encoder_colours is 1; it must be one of True, False"):
        GroupDNetConfig.for_labels(numbered(4), SIZE, 4, encoder_colours=1)
