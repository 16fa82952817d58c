"""Random choices: only what is allowed, all of it alike, whatever the draw."""

from __future__ import annotations

import torch

from groupdnet_hub.training.augment.class_choice import choose


def test_each_allowed_place_has_an_equal_stretch_of_the_draws() -> None:
    row = torch.tensor([False, True, False, True, True, False, True])
    draws = (torch.arange(400) + 0.5) / 400
    chosen = choose(row.expand(400, -1), draws)
    assert torch.equal(chosen, torch.tensor([1, 3, 4, 6]).repeat_interleave(100))


def test_the_ends_of_the_draws_are_the_first_and_the_last_place() -> None:
    allowed = torch.zeros(2, 70_001, dtype=torch.bool)
    allowed[0, 5:], allowed[1, 69_998] = True, True
    for draw, expected in ((0.0, [5, 69_998]), (1 - 2**-24, [70_000, 69_998])):
        assert choose(allowed, torch.full((2,), draw)).tolist() == expected
