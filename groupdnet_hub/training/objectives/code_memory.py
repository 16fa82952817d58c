"""Codes of the pictures seen lately, class by class, as donors for the loss on redrawing: not in the paper.

Where donors are the neighbours in a batch (:mod:`.redraw_loss`), a class is redrawn only if both pictures show it:
one that 4 % of the pictures show hardly ever is. With a memory there is a donor at any time, and rare classes are
redrawn more often.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor

from groupdnet_hub.data.labels import shown_classes
from groupdnet_hub.training.augment.class_choice import choose_weighted
from groupdnet_hub.training.shared_stream import RunSeed, SharedStream, StreamId


class CodeMemory(SharedStream):
    """Gives each picture of a batch a code of one of its classes from a picture that was seen before.

    All processes keep the same memory, of the pictures of all of them, so that it does not depend on their number and
    a checkpoint holds all of it.

    Args:
        code_shape: [C, z, h, w] of the codes of one picture.
        size: how many codes each class has; the latest ones.
        device: where the codes are kept.
    """

    stream_id = StreamId.CODE_MEMORY

    def __init__(
        self,
        code_shape: tuple[int, ...],
        size: int,
        seed: RunSeed,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(seed)
        self.size = size
        self.codes = torch.zeros(code_shape[0], size, *code_shape[1:], device=device)
        # How many pictures have shown each class: where its next code goes, and how rare it is.
        self.seen = torch.zeros(code_shape[0], dtype=torch.int64, device=device)

    def redraw(self, codes: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Exchange the code of one class of each picture, drawn among those it shows by inverse root frequency.

        Pictures that show only classes of which none was seen before keep their codes.

        Args:
            codes: [B, C, z, h, w].
            label: int64 [B, H, W].

        Returns:
            (codes with one class of each picture exchanged, the classes int64 [B]).
        """
        draws = self.uniform(len(label), 2, device=label.device)
        shown = shown_classes(label, len(self.seen))
        known = shown & (self.seen > 0)
        rarity = self.seen.clamp(min=1).float().rsqrt()
        classes = choose_weighted(
            torch.where(known.any(dim=1, keepdim=True), known, shown) * rarity, draws[:, 0]
        )
        count = self.seen[classes].clamp(max=self.size)
        places = torch.minimum((draws[:, 1] * count).long(), (count - 1).clamp(min=0))
        items = torch.arange(len(codes), device=codes.device)
        donors = self.codes[classes, places].to(codes.dtype)
        own = codes[items, classes]
        mixed = codes.clone()
        mixed[items, classes] = torch.where((count > 0).view(-1, 1, 1, 1), donors, own)
        return mixed, classes

    @torch.no_grad()
    def remember(self, codes: Tensor, label: Tensor) -> None:
        """Keep the codes [B, C, z, h, w] of the classes that a batch's label maps [B, H, W] show."""
        codes = self._of_all(codes.detach().to(self.codes))
        shown = self._of_all(shown_classes(label, len(self.seen)).to(torch.uint8)).to(torch.int64)
        # The n-th picture of a class goes to place n modulo the size, and of those that meet there the last one stays.
        numbers = self.seen + shown.cumsum(dim=0) - shown
        total = self.seen + shown.sum(dim=0)
        stays = (shown > 0) & (numbers >= total - self.size)
        places = torch.arange(self.size, device=label.device)
        written = stays[..., None] & (numbers[..., None] % self.size == places)  # [B, C, places]
        # Gathered for each place rather than scattered: no place is looked for, and a GPU need not be waited for.
        source = written.to(torch.uint8).argmax(dim=0)  # [C, places]
        classes = torch.arange(len(self.seen), device=label.device)[:, None]
        fresh = codes[source, classes]
        changed = written.any(dim=0).view(*written.shape[1:], *(1,) * (codes.ndim - 2))
        # In place: what is recorded continues in the same memory.
        torch.where(changed, fresh, self.codes, out=self.codes)
        self.seen.copy_(total)

    def _of_all(self, values: Tensor) -> Tensor:
        """Return those of the batches of all processes, one after the other."""
        if self.num_processes == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.num_processes)]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint."""
        return {**super().state_dict(), "codes": self.codes, "seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the state from a checkpoint."""
        super().load_state_dict(state)
        self.codes.copy_(state["codes"])
        self.seen.copy_(state["seen"])
