"""What the report on a model's appearance redraws by default."""

from __future__ import annotations

import torch

from groupdnet_hub import LabelSet
from train.tools.appearance_report import main_class

MAPS = [{"label": torch.tensor([[0, 1, 1], [2, 2, 2]])}, {"label": torch.tensor([[0, 0, 0], [0, 1, 1]])}]


def test_the_main_class_has_the_most_pixels_but_for_the_background() -> None:
    assert main_class(LabelSet.from_names(("background", "coat", "shoes", "hat")), MAPS) == "coat"
    assert main_class(LabelSet.from_names(("hat", "coat", "background")), MAPS) == "hat"
    assert main_class(LabelSet.from_names(("sky", "road", "car")), MAPS) == "sky"
    assert (
        main_class(LabelSet.from_names(("background",)), [{"label": torch.zeros(2, 2).long()}])
        == "background"
    )
