"""What every system that draws pictures from label maps has in common: how it is sampled, redrawn and measured."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from groupdnet_hub.data.labels import LabelSet


class ImageSynthesisSystem(Protocol):
    """A label map and codes in, a picture out.

    Metrics, evaluation and the page ask no more of a model than this. ``GroupDNet`` and all baselines have it.

    Attributes:
        labels: the label set.
        has_class_codes: whether one class can be redrawn alone. A system without class codes redraws all of its
            code instead, as the paper does when it measures one (section 4.2).
    """

    labels: LabelSet

    @property
    def has_class_codes(self) -> bool: ...

    @property
    def device(self) -> torch.device: ...

    def prepare(self, label: Tensor, instance: Tensor | None = None) -> Any:
        """Return what :meth:`decode` takes in place of the label map, computed once for many codes."""

    def sample_codes(
        self,
        batch: int = 1,
        *,
        generator: torch.Generator | None = None,
        label_size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Draw codes [B, ...] from the prior; a system without any has an empty last axis."""

    def redraw(self, codes: Tensor, class_id: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return codes [B, ...] with one class's drawn anew, or all of them where classes have none of their own."""

    def decode(self, codes: Tensor, label: Any, instance: Tensor | None = None) -> Tensor:
        """Draw label maps int64 [B, H, W], or what :meth:`prepare` made of them -> pictures [B, 3, H, W] in [-1, 1]."""
