"""Systems simple enough that their diversity is known by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from groupdnet_hub import LabelSet

LABELS = LabelSet.from_names(("sky", "house", "road", "tree"))


class _Synthetic:
    labels = LABELS
    device = torch.device("cpu")

    def prepare(self, label: Tensor, instance: Tensor | None = None) -> Tensor:
        return label


class RepaintsOneClass(_Synthetic):
    """A class is painted in its code's value; redrawn codes of class c alternate between 0 and c + 1."""

    has_class_codes = True

    def sample_codes(self, batch=1, *, generator=None, label_size=None) -> Tensor:
        return torch.rand(batch, 4, generator=generator)

    def redraw(self, codes: Tensor, class_id: int, *, generator=None) -> Tensor:
        redrawn = codes.clone()
        redrawn[:, class_id] = torch.arange(len(codes)) % 2 * (class_id + 1)
        return redrawn

    def decode(self, codes: Tensor, label: Tensor, instance=None) -> Tensor:
        painted = torch.stack([one[label[0]] for one in codes])
        return painted[:, None].expand(-1, 3, -1, -1)


class ChangesEverything(_Synthetic):
    """All pixels are drawn anew from one code; it has none for a class."""

    has_class_codes = False

    def sample_codes(self, batch=1, *, generator=None, label_size=None) -> Tensor:
        return torch.randint(0, 2**31, (batch, 1), generator=generator)

    def redraw(self, codes: Tensor, class_id: int, *, generator=None) -> Tensor:
        return self.sample_codes(len(codes), generator=generator)

    def decode(self, codes: Tensor, label: Tensor, instance=None) -> Tensor:
        noise = [
            torch.rand(3, *label.shape[1:], generator=torch.Generator().manual_seed(int(code)))
            for code in codes[:, 0]
        ]
        return torch.stack(noise) * 2 - 1


def difference(one: Tensor, other: Tensor) -> Tensor:
    """A spatial distance: the mean absolute difference of each pixel's colours."""
    return (one - other).abs().mean(dim=1, keepdim=True)
