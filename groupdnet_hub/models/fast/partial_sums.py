"""Partial sums of a convolution where groups merge, so that a redrawn class redoes only the channels it changed.

Where a group of a block joins several groups of the block before, a convolution over its input channels is the sum of
convolutions over two parts of them. Codes that reach one part leave the other's sum as it is. A picture drawn from the
start adds the same two sums in the same order, and so has the same bits as a redrawn one; they differ by rounding from
those of one convolution over all channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from torch import Tensor

# Multiply-accumulates of a part for each of its results. With fewer, writing and adding the results costs more than a
# redrawn class saves.
WORTH_KEEPING = 128
# On smaller maps there is little to save, and PyTorch convolves few channels of few pixels slowly.
LEAST_PIXELS = 1024


def part_widths(
    channels: int, groups: int, groups_before: int, kernel_area: int, pixels: int
) -> tuple[int, ...]:
    """Return the channels of each part of a grouped convolution's input: one part for each group, or two.

    Args:
        channels: of the input, made by ``groups_before`` groups.
        groups: of the convolution, which need not nest in those before.
        groups_before: number of groups that made the input.
        kernel_area: places of its kernel, 9 for 3x3.
        pixels: of one map.
    """
    width, width_before = channels // groups, channels // groups_before
    widths: list[int] = []
    for first in range(0, channels, width):
        last = first + width
        seams = [seam for seam in range(0, channels, width_before) if first < seam < last]
        if not seams:
            return (width,) * groups
        middle = min(seams, key=lambda seam: abs(2 * seam - first - last))
        widths += [middle - first, last - middle]
    if pixels < LEAST_PIXELS or min(widths) * kernel_area < WORTH_KEEPING:
        return (width,) * groups
    return tuple(widths)


class Part(NamedTuple):
    """Some neighbouring channels of the input of a block.

    Attributes:
        sources: the tensors [B, c, h, w] that hold them.
        channels: views of these channels alone.
    """

    sources: tuple[Tensor, ...]
    channels: tuple[Tensor, ...]


def split_into_parts(pieces: Sequence[Tensor], widths: Sequence[int]) -> list[Part]:
    """Split pieces, laid end to end, into parts of the given numbers of channels."""
    parts = []
    starts = list(accumulate((piece.shape[1] for piece in pieces), initial=0))
    for last, width in zip(accumulate(widths), widths, strict=True):
        first = last - width
        held = [
            (piece, piece[:, max(first - start, 0) : last - start])
            for piece, start, end in zip(pieces, starts, starts[1:], strict=False)
            if start < last and end > first
        ]
        parts.append(Part(tuple(piece for piece, _ in held), tuple(channels for _, channels in held)))
    return parts


class PartialSums:
    """The last partial sums of one block, each with the features that it was computed from.

    A sum serves again where these very tensors are the input again, whichever picture it was computed for; so threads
    may share it.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], tuple[tuple[Tensor, ...], Tensor]] = {}

    def find(self, convolution: str, number: int, part: Part, compute: Callable[[], Tensor]) -> Tensor:
        """Return the last sum of a numbered part, or what ``compute`` returns, which replaces it; not to be changed."""
        sources, total = self._sums.get((convolution, number), ((), None))
        if total is None or not _same_tensors(sources, part.sources):
            total = compute()
            self._sums[convolution, number] = (part.sources, total)
        return total

    def copy(self) -> PartialSums:
        """Return another holder of the same sums."""
        other = PartialSums()
        other._sums = dict(self._sums)
        return other

    def overwrite(self, newer: PartialSums) -> None:
        """Copy ``newer``'s values into the memory of these; the sources stay, for the caller to overwrite likewise."""
        for key, (_, total) in self._sums.items():
            _, new = newer._sums[key]
            if new is not total:
                total.copy_(new)

    def clear(self) -> None:
        """Forget all; the next picture computes those it needs."""
        self._sums.clear()

    def tensors(self) -> list[Tensor]:
        """Return all tensors that it keeps alive."""
        return [tensor for sources, total in tuple(self._sums.values()) for tensor in (*sources, total)]


def total_of(sums: Sequence[Tensor], *, overwrite: bool) -> Tensor:
    """Return the sum of [B, c, H, W] each, in their order; ``overwrite`` allows to write it over the first."""
    total = sums[0]
    for number, other in enumerate(sums[1:]):
        total = total.add_(other) if overwrite or number else total + other
    return total


def _same_tensors(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))
