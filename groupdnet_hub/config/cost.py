"""What a network will cost, computed from its configuration alone: before anything is allocated for it.

A small file can ask for much: the weights of a network do not grow with its pictures, and 2.7 MB of them draw
8192 x 8192 pixels as well.
"""

from __future__ import annotations

from dataclasses import dataclass

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Cost:
    """What it takes to encode one photo and draw one picture, in float32 and in the plain form of each layer.

    Attributes:
        parameters: numbers that the networks learn, and those of a fitted prior.
        macs: multiply-accumulates of all convolutions.
        working_bytes: most memory that is held at once beside the weights.
    """

    parameters: int
    macs: int
    working_bytes: int

    @property
    def memory_bytes(self) -> int:
        """Bytes of weights and work together."""
        return _FLOAT_BYTES * self.parameters + self.working_bytes


class CostTally:
    """Adds up the cost of layers, one after the other.

    Attributes:
        parameters: so far.
        macs: so far.
    """

    def __init__(self) -> None:
        self.parameters = self.macs = 0
        self._peak = 0

    def convolve(
        self,
        in_channels: int,
        out_channels: int,
        pixels: int,
        *,
        kernel: int = 3,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        """Add a convolution.

        Args:
            in_channels: of the layer.
            out_channels: of the layer.
            pixels: of the result; of the input for a transposed convolution.
            kernel: side of its kernel.
            groups: that it is divided into.
            bias: whether it has one.
        """
        weights = in_channels // groups * out_channels * kernel**2
        self.parameters += weights + (out_channels if bias else 0)
        self.macs += weights * pixels

    def store(self, values: int) -> None:
        """Add values that lie beside the parameters, such as a fitted prior's."""
        self.parameters += values

    def hold(self, values: int, *, size: int = _FLOAT_BYTES) -> None:
        """Note that so many values, of ``size`` bytes each, are held at the same time."""
        self._peak = max(self._peak, values * size)

    def cost(self) -> Cost:
        """Return the cost of all that was added."""
        return Cost(self.parameters, self.macs, self._peak)
