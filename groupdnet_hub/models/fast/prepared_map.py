"""A prepared map: the label map's part of the decoder's work, done once for any number of codes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import Tensor, nn

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

# Scale and shift of each CG-Norm of a block, or what computes them.
BlockModulations = Mapping[str, AnyModulation] | Callable[[], Mapping[str, AnyModulation]]
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
        """Return the classes whose codes differ from those drawn."""
        return (self.codes != codes).flatten(2).any(dim=2)[0].nonzero().flatten().tolist()

    def tensors(self) -> list[Tensor]:
        """Return all tensors that it keeps alive."""
        return [self.codes, self.image, *(piece for pieces in self.pieces for piece in pieces)]


class SingleDraw(Protocol):
    """A quicker way to draw one picture on a prepared map."""

    @property
    def nbytes(self) -> int:
        """Return how many bytes it keeps alive."""

    def draw(self, codes: Tensor) -> Tensor:
        """Return the picture [1, 3, H, W] of codes [1, C, z, h, w]."""


@dataclass(frozen=True, eq=False)
class PreparedMap:
    """All that the decoder needs of a batch of label maps: computed once, it serves any number of codes.

    Memory: two numbers for each channel and each *different* window of every CG-Norm, at most 30 % of a whole
    scale and shift map (all of it where more windows differ); one :class:`CachedDecode` for each of the last few
    single pictures, which share what they have in common; and, where groups merge, two partial sums for each
    convolution of the newest picture, each as large as its result. :attr:`nbytes` is their sum.

    It belongs to the weights it was made with: after these change, prepare the maps anew.

    Attributes:
        label: int64 [B, H, W].
        modulations: for each block, scale and shift of each of its CG-Norms; with gradient checkpointing, what
            computes them.
        latent_size: (h, w) of the codes that fit.
        first_input: what the decoder's ``first_input`` made of the label maps.
        cached: the last single pictures, the newest last. Each is replaced at once, and which are there changes no
            picture, so that threads may share a prepared map.
        sums: the partial sums of each block, for all cached pictures together; none where no picture is cached.
        recorded: draws single pictures instead, where there is one.
        statistics: for some blocks, what their batch norms normalised by in the last decode, which writes it here.
        window: what is decoded of each picture, if not all of it.
    """

    label: Tensor
    modulations: tuple[BlockModulations, ...]
    latent_size: tuple[int, int]
    first_input: CodePlacement | Tensor | None = None
    cached: deque[CachedDecode] = field(default_factory=lambda: deque(maxlen=1))
    sums: tuple[PartialSums, ...] = ()
    recorded: SingleDraw | None = None
    statistics: Mapping[int, dict[str, BatchStatistics]] | None = None
    window: DecodeWindow | None = None

    def of_block(self, block: int) -> Mapping[str, AnyModulation]:
        """Return scale and shift of each CG-Norm of a block."""
        found = self.modulations[block]
        return found() if callable(found) else found

    def with_statistics(self, first: int) -> PreparedMap:
        """Return a copy on which a decode of training mode leaves the statistics of block ``first`` and all behind.

        See :meth:`at`.
        """
        return replace(self, statistics={block: {} for block in range(first, len(self.modulations))})

    def at(self, window: DecodeWindow) -> PreparedMap:
        """Return a copy on which a window of each picture is decoded, after a decode of whole pictures.

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
                    f"no decode left the statistics of block {block} behind: prepare the label maps in training mode, "
                    "take its with_statistics, and decode whole pictures on it first"
                )
            fixed = {}
            for name, modulation in self.of_block(block).items():
                assert isinstance(modulation, Modulation | JoinedModulation)
                fixed[name] = FixedModulation(modulation.at(places), found[name])
            modulations[block] = fixed
        return replace(self, modulations=tuple(modulations), statistics=None, window=window)

    def pixels_at(self, block: int) -> int:
        """Return the pixels of one map at the resolution of a block."""
        return self.latent_size[0] * self.latent_size[1] * 4**block

    @property
    def folded(self) -> bool:
        """Whether evaluation mode's statistics are folded in; such a map cannot be trained on."""
        first = self.modulations[0]
        return not callable(first) and isinstance(first["norm_0"], FoldedModulation)

    def forget_sums(self) -> None:
        """Forget partial sums until the next picture: they are the largest part, and the least is lost by it."""
        for sums in self.sums:
            sums.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of the tables and of what is cached."""
        tensors = [tensor for cached in tuple(self.cached) for tensor in cached.tensors()]
        size = bytes_of([*tensors, *(tensor for sums in self.sums for tensor in sums.tensors())])
        size += 0 if self.recorded is None else self.recorded.nbytes
        size += 0 if self.first_input is None else self.first_input.nbytes
        kept = (block for block in self.modulations if not callable(block))
        return size + sum(modulation.nbytes for block in kept for modulation in block.values())


def closest_cached(prepared: PreparedMap, codes: Tensor) -> tuple[CachedDecode | None, Sequence[int]]:
    """Return the cached picture from which the fewest classes differ, the newest of several, and these classes."""
    best: tuple[CachedDecode | None, Sequence[int]] = (None, ())
    for cached in tuple(prepared.cached):
        changed = cached.changed_classes(codes)
        if best[0] is None or len(changed) <= len(best[1]):
            best = (cached, changed)
    return best


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of all the different tensors."""
    different = {id(tensor): tensor for tensor in tensors}
    return sum(tensor.numel() * tensor.element_size() for tensor in different.values())


def weights_state(module: nn.Module) -> tuple[object, ...]:
    """Return a value that is another one once a weight was replaced, moved, converted or written to."""
    tensors = [*module.parameters(), *module.buffers()]
    return tuple((t.data_ptr(), t.dtype, None if t.is_inference() else t._version) for t in tensors)
