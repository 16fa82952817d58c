"""What the report on a model's appearance redraws by default."""

from __future__ import annotations

import torch

from groupdnet_hub import LabelSet
from tests.helpers.network_models import make_model
from train.tools.appearance_report import compare_reconstructions, main_class, reroll_locality

MAPS = [{"label": torch.tensor([[0, 1, 1], [2, 2, 2]])}, {"label": torch.tensor([[0, 0, 0], [0, 1, 1]])}]


def test_the_main_class_has_the_most_pixels_but_for_the_background() -> None:
    assert main_class(LabelSet.from_names(("background", "coat", "shoes", "hat")), MAPS) == "coat"
    assert main_class(LabelSet.from_names(("hat", "coat", "background")), MAPS) == "hat"
    assert main_class(LabelSet.from_names(("sky", "road", "car")), MAPS) == "sky"
    assert (
        main_class(LabelSet.from_names(("background",)), [{"label": torch.zeros(2, 2).long()}])
        == "background"
    )


def test_unknown_pixels_are_in_no_answer() -> None:
    """Photos and label maps that differ there alone give the same ones."""
    unknown = torch.zeros(64, 64, dtype=torch.bool)
    unknown[10:50, 20:60] = True
    label = torch.zeros(64, 64, dtype=torch.int64)
    label[:, 32:] = 1
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    one = {"image": image, "label": label, "unknown": unknown}
    other = {**one, "image": torch.where(unknown, -image, image)}
    model = make_model(3)

    def distance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (first - second).abs().mean()

    assert compare_reconstructions(model, [one], distance) == compare_reconstructions(
        model, [other], distance
    )
    whole = [{name: value for name, value in item.items() if name != "unknown"} for item in (one, other)]
    assert compare_reconstructions(model, whole[:1], distance) != compare_reconstructions(
        model, whole[1:], distance
    )
    assert reroll_locality(model, [one], "class 1") != reroll_locality(model, whole[:1], "class 1")
    hidden = {**one, "unknown": label == 1}  # class 1 is not shown
    assert reroll_locality(model, [hidden, one], "class 1")["pictures"] == 1
    names = LabelSet.from_names(("background", "coat", "shoes"))
    assert (
        main_class(
            names, [{"label": torch.tensor([[1, 1, 2]]), "unknown": torch.tensor([[True, True, False]])}]
        )
        == "shoes"
    )
