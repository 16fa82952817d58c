"""Class ids and the slots that a network holds them in, where a configuration orders classes otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ClassOrder(nn.Module):
    """Takes label maps and codes from class ids to slots and back.

    Args:
        order: the class id of each slot; empty where a class's slot is its id.
    """

    class_of_slot: Tensor
    slot_of_class: Tensor

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        self.order = tuple(order)
        # Kept where the networks are: a GPU would be waited for whenever they are sent to it.
        # Also where a model is made without memory for its weights, which come later.
        ids = torch.tensor(self.order, dtype=torch.int64, device="cpu")
        self.register_buffer("class_of_slot", ids, persistent=False)
        self.register_buffer("slot_of_class", ids.argsort(), persistent=False)

    def label_in_slots(self, label: Tensor) -> Tensor:
        """Return the slots of class ids int64 [B, H, W]."""
        return self.slot_of_class[label] if self.order else label

    def codes_in_slots(self, codes: Tensor) -> Tensor:
        """Return codes [B, C, ...] by slot, given by class id."""
        return codes[:, self.class_of_slot] if self.order else codes

    def codes_by_class(self, codes: Tensor) -> Tensor:
        """Return codes [B, C, ...] by class id, given by slot."""
        return codes[:, self.slot_of_class] if self.order else codes
