"""A scene: the label map's part of the decoder's work, done once for any number of codes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import Tensor

from groupdnet_hub.models.code_placement import CodePlacement
from groupdnet_hub.models.fast.decode_window import DecodeWindow
from groupdnet_hub.models.fast.joined_modulation import JoinedModulation
from groupdnet_hub.models.fast.modulation import (
    AnyModulation,
    BatchStatistics,
    FixedModulation,
    FoldedModulation,
    Modulation,
)
from groupdnet_hub.models.fast.partial_sums import PartialSums

# For ``fc`` and each block, the features of each group.
Pieces = tuple[tuple[Tensor, ...], ...]


@dataclass(frozen=True, eq=False)
class CachedDecode:
    """What one decode leaves behind, so that the next one need redo only what other codes reach.

    Attributes:
        codes: [1, C, z, h, w] that were drawn.
        pieces: for ``fc`` and each block, the features of each group before upsampling; empty where there is one
            group only, since any code reaches it.
        image: [1, 3, H, W].
    """

    codes: Tensor
    pieces: Pieces
    image: Tensor

    def changed_classes(self, codes: Tensor) -> list[int]:
        """The classes whose codes differ from those drawn."""
        return (self.codes != codes).flatten(2).any(dim=2)[0].nonzero().flatten().tolist()

    def tensors(self) -> list[Tensor]:
        """All tensors that it keeps alive."""
        return [self.codes, self.image, *(piece for pieces in self.pieces for piece in pieces)]


class SingleDraw(Protocol):
    """A quicker way to draw one picture on a scene."""

    @property
    def nbytes(self) -> int:
        """Bytes that it keeps alive."""

    def draw(self, codes: Tensor) -> Tensor:
        """The picture [1, 3, H, W] of codes [1, C, z, h, w]."""


@dataclass(frozen=True, eq=False)
class PreparedMap:
    """All that the decoder needs of a batch of label maps: computed once, it serves any number of codes.

    Memory: two numbers for each channel and each *different* window of every CG-Norm, at most 30 % of a whole
    scale and shift map (all of it where more windows differ); one :class:`CachedDecode` for each of the last few
    single pictures, which share what they have in common; and, where groups merge, two partial sums for each
    convolution of the newest picture, each as large as its result. :attr:`nbytes` is their sum.

    A scene belongs to the weights it was made with: after these change, prepare it anew.

    Attributes:
        label: int64 [B, H, W].
        modulations: for each block, gamma and beta of each of its CG-Norms.
        latent_size: (h, w) of the codes that fit.
        kept: the last single pictures, the newest last. Each is replaced whole, and which are there changes no
            picture, so that threads may share a scene.
        sums: the partial sums of each block, for all kept pictures together; none where no picture is kept.
        recorded: draws single pictures instead, where there is one.
        placement: where codes lie, with ``code_placement="box"``.
        statistics: for some blocks, what their batch norms normalised by in the last decode, which writes it here.
        window: what is decoded of each picture, if not all of it.
    """

    label: Tensor
    modulations: tuple[Mapping[str, AnyModulation], ...]
    latent_size: tuple[int, int]
    kept: deque[CachedDecode] = field(default_factory=lambda: deque(maxlen=1))
    sums: tuple[PartialSums, ...] = ()
    recorded: SingleDraw | None = None
    placement: CodePlacement | None = None
    statistics: Mapping[int, dict[str, BatchStatistics]] | None = None
    window: DecodeWindow | None = None

    def with_statistics(self, first: int) -> PreparedMap:
        """The same scene of training mode, on which a decode leaves the statistics of block ``first`` and all behind.

        See :meth:`at`.
        """
        return replace(self, statistics={block: {} for block in range(first, len(self.modulations))})

    def at(self, window: DecodeWindow) -> PreparedMap:
        """A scene on which a window of each picture is decoded, after a decode of whole pictures.

        The blocks that draw windows normalise by the statistics of that decode, since those of windows would be of
        some places only; gradients flow through them, too.

        Raises:
            ValueError: if no decode left statistics of these blocks behind.
        """
        modulations = list(self.modulations)
        for block, places in window.outputs.items():
            found = (self.statistics or {}).get(block)
            if not found:
                raise ValueError(
                    f"no decode left the statistics of block {block} behind: prepare a scene in training mode, take "
                    "its with_statistics, and decode whole pictures on it first"
                )
            fixed = {}
            for name, modulation in modulations[block].items():
                assert isinstance(modulation, Modulation | JoinedModulation)
                fixed[name] = FixedModulation(modulation.at(places), found[name])
            modulations[block] = fixed
        return replace(self, modulations=tuple(modulations), statistics=None, window=window)

    def pixels_at(self, block: int) -> int:
        """Pixels of one map at the resolution of a block."""
        return self.latent_size[0] * self.latent_size[1] * 4**block

    @property
    def folded(self) -> bool:
        """Whether evaluation mode's statistics are folded in; such a scene cannot be trained on."""
        return isinstance(self.modulations[0]["norm_0"], FoldedModulation)

    def forget_sums(self) -> None:
        """Keep no partial sums until the next picture: they are the largest part, and the least is lost by it."""
        for sums in self.sums:
            sums.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of the tables and of what is kept."""
        tensors = [tensor for kept in tuple(self.kept) for tensor in kept.tensors()]
        size = bytes_of([*tensors, *(tensor for sums in self.sums for tensor in sums.tensors())])
        size += 0 if self.recorded is None else self.recorded.nbytes
        size += 0 if self.placement is None else self.placement.nbytes
        for block in self.modulations:
            for modulation in block.values():
                if isinstance(modulation, FixedModulation):
                    modulation = modulation.modulation
                size += modulation.nbytes
        return size


def closest_cached(scene: PreparedMap, codes: Tensor) -> tuple[CachedDecode | None, Sequence[int]]:
    """The kept picture from which the fewest classes differ, the newest of several, and these classes."""
    best: tuple[CachedDecode | None, Sequence[int]] = (None, ())
    for kept in tuple(scene.kept):
        changed = kept.changed_classes(codes)
        if best[0] is None or len(changed) <= len(best[1]):
            best = (kept, changed)
    return best


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Bytes of all the different tensors."""
    different = {id(tensor): tensor for tensor in tensors}
    return sum(tensor.numel() * tensor.element_size() for tensor in different.values())
