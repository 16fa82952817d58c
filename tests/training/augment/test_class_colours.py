"""Random hues for classes of the training pictures."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from groupdnet_hub.training.augment.class_colours import ClassColours, hue_rotations
from groupdnet_hub.training.shared_stream import RunSeed

RED, GREEN, BLUE = torch.eye(3) * 2 - 1  # in [-1, 1]


def stripes() -> tuple[Tensor, Tensor]:
    """Eight pictures of three stripes, of the classes 0, 1 and 2: red, blue and grey."""
    label = torch.arange(3).repeat_interleave(4).repeat(8, 4, 1)
    image = torch.stack((RED, BLUE, torch.full((3,), -0.4)), dim=1)[:, label[0]]
    return image.expand(8, -1, -1, -1).contiguous(), label


def test_a_third_of_a_circle_turns_red_into_green() -> None:
    third, whole, half = hue_rotations(torch.tensor([2 * math.pi / 3, 2 * math.pi, math.pi]))
    torch.testing.assert_close(third @ RED, GREEN)
    torch.testing.assert_close(third @ GREEN, BLUE)
    torch.testing.assert_close(third @ BLUE, RED)
    torch.testing.assert_close(whole, torch.eye(3), atol=1e-6, rtol=0)
    colours = torch.rand(3, 50, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for rotation in (third, half):
        torch.testing.assert_close((rotation @ colours).mean(dim=0), colours.mean(dim=0), atol=1e-6, rtol=0)
        torch.testing.assert_close(rotation @ torch.full((3,), 0.3), torch.full((3,), 0.3))


def test_only_the_named_classes_change_and_grey_stays_grey() -> None:
    image, label = stripes()
    changed = ClassColours((1, 2), 1.0, RunSeed(0))(image, label)
    assert -1 <= changed.min() <= changed.max() <= 1
    assert torch.equal(changed[:, :, :, :4], image[:, :, :, :4])
    torch.testing.assert_close(changed[:, :, :, 8:], image[:, :, :, 8:])
    blues = changed[:, :, 0, 4]
    assert torch.equal(blues[:, :, None, None].expand(-1, -1, 4, 4), changed[:, :, :, 4:8])
    assert len(blues.unique(dim=0)) == 8, "each picture has a hue of its own"


def test_so_many_pictures_change() -> None:
    image, label = stripes()
    for share in (0.0, 0.25, 1.0):
        colours = ClassColours((1,), share, RunSeed(0))
        changed = torch.cat([(colours(image, label) != image).flatten(1).any(dim=1) for _ in range(60)])
        assert abs(float(changed.float().mean()) - share) <= 0.06


def test_the_stream_is_taken_up_again_and_shared_between_processes() -> None:
    image, label = stripes()
    first = ClassColours((0, 1), 0.5, RunSeed(5))
    first(image, label)
    state = first.state_dict()
    expected = first(image, label)
    second = ClassColours((0, 1), 0.5, RunSeed(6))
    second.load_state_dict(state)
    assert torch.equal(second(image, label), expected)
    whole = ClassColours((0, 1), 0.5, RunSeed(5))(image, label)
    halves = [ClassColours((0, 1), 0.5, RunSeed(5, rank, 2))(image[:4], label[:4]) for rank in range(2)]
    assert torch.equal(torch.cat(halves), whole)
