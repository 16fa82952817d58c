"""The convolution of all the networks: grouped, optionally spectrally normalised, Glorot-initialised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAKY_SLOPE = 0.2

# Power iterations at initialisation, so that the first forward already divides by a good estimate.
_INITIAL_ITERATIONS = 15
# Vectors are not divided by less than this.
SHORTEST = 1e-12

# Numbers in a register of a processor with AVX-512: oneDNN convolves 48 channels in less time than 40.
_LANES = 16
# Multiply-accumulates for each channel of a result; with fewer, time is lost.
_WORTH_LANES = 2**19


class GroupedConv2d(nn.Conv2d):
    """A convolution with groups and, on request, spectral normalisation.

    With ``spectral_norm`` the weight [out, in / groups, k, k], seen as a matrix of ``out`` rows, is divided by
    an estimate of its largest singular value. The estimate's vectors ``weight_u`` [out] and ``weight_v``
    [in / groups * k * k] are buffers; a forward in training mode first improves them by one power iteration
    (v, then u, the order of the authors' checkpoints), also without gradients.

    Attributes:
        gain: the largest singular value that a normalised weight is left with.
        working: weight and bias to be used as they are instead of its own, while a training step lends them
            (:mod:`groupdnet_hub.models.fast.working_weights`).
    """

    gain: ClassVar[float] = 1.0
    weight_u: Tensor
    weight_v: Tensor
    working: tuple[Tensor, Tensor | None] | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        bias: bool = True,
        spectral_norm: bool = False,
    ) -> None:
        if padding is None:
            padding = kernel_size // 2
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=bias)
        self.spectral_norm, self.working = spectral_norm, None
        if spectral_norm:
            self.register_buffer("weight_u", torch.zeros(out_channels))
            self.register_buffer("weight_v", torch.zeros(self.weight[0].numel()))

    def reset_parameters(self) -> None:
        """Zeros: the networks initialise their layers themselves, and nothing draws from the global generator."""
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def initialise(self, gain: float, generator: torch.Generator | None = None) -> None:
        """Glorot-normal weight, zero bias, and fresh singular vectors.

        Spectral normalisation takes any gain out of the layer's output again; a gain of 1 keeps Adam's fixed
        step small against such a weight.
        """
        nn.init.xavier_normal_(self.weight, gain=1.0 if self.spectral_norm else gain, generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.spectral_norm:
            self.find_singular_vectors(generator)

    @torch.no_grad()
    def find_singular_vectors(self, generator: torch.Generator | None = None) -> None:
        """Fresh ``weight_u`` and ``weight_v`` of the present weight, by power iterations from a random start."""
        nn.init.normal_(self.weight_u, generator=generator)
        self.weight_u.copy_(F.normalize(self.weight_u, dim=0))
        for _ in range(_INITIAL_ITERATIONS):
            self._iterate()

    def singular_value(self) -> Tensor:
        """The estimate of the weight's largest singular value that the forward divides by, a scalar."""
        # Clones: a second forward before the backward changes the buffers in place.
        u, v, matrix = self.weight_u.clone(), self._as_stored(self.weight_v), stored_matrix(self.weight)
        if matrix.dtype in (torch.float16, torch.bfloat16):
            u, v, matrix = u.float(), v.float(), matrix.float()
        return torch.dot(u, matrix @ v)

    @torch.no_grad()
    def _iterate(self) -> None:
        matrix = stored_matrix(self.weight.detach())
        v = F.normalize(matrix.t() @ self.weight_u, dim=0, eps=SHORTEST)
        self.weight_u.copy_(F.normalize(matrix @ v, dim=0, eps=SHORTEST))
        self.weight_v.view(self.weight.shape[1:]).copy_(from_stored(v, self.weight))

    def _as_stored(self, v: Tensor) -> Tensor:
        """A copy of ``weight_v`` in the order of :func:`stored_matrix`'s columns."""
        if not self.weight.is_contiguous():
            return v.view(self.weight.shape[1:]).permute(1, 2, 0).flatten()
        return v.clone()

    def normalised_weight(self) -> Tensor:
        """The weight that the forward uses: divided by its largest singular value's estimate, if so asked."""
        if not self.spectral_norm:
            return self.weight
        # The estimate is a small sum of large products: never in the low precision of autocast.
        with torch.autocast(self.weight.device.type, enabled=False):
            if self.training:
                self._iterate()
            weight = self.weight / self.singular_value().to(self.weight.dtype)
            return weight if self.gain == 1 else self.gain * weight

    def forward(self, input: Tensor) -> Tensor:
        if self.working is None:
            return self._conv_forward(input, self.normalised_weight(), self.bias)
        weight, bias = self.working
        return self._conv_forward(input.to(weight.dtype), weight, bias)

    def forward_groups(self, input: Tensor, first: int, count: int) -> Tensor:
        """The convolution of ``count`` groups from ``first`` on, on their input channels alone.

        The weight is taken as it is, for an input that was divided by the singular value already.
        """
        width = self.out_channels // self.groups
        rows = slice(first * width, (first + count) * width)
        bias = None if self.bias is None else self.bias[rows]
        if count == 1:
            return self._convolve_one_group(input, self.weight[rows], bias)
        return F.conv2d(input, self.weight[rows], bias, self.stride, self.padding, groups=count)

    def forward_channels(self, input: Tensor, group: int, first: int) -> Tensor:
        """What some input channels of a group, from its ``first`` on, add to the convolution of that group.

        The bias belongs to the first channel; the weight is taken as by :meth:`forward_groups`.
        """
        width = self.out_channels // self.groups
        rows = slice(group * width, (group + 1) * width)
        weight = self.weight[rows, first : first + input.shape[1]]
        bias = None if self.bias is None or first else self.bias[rows]
        return self._convolve_one_group(input, weight, bias)

    def _convolve_one_group(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A convolution, computed with some channels more where that is quicker; the result is a view then."""
        channels, (H, W) = len(weight), input.shape[2:]
        more = -channels % _LANES
        wasteful = 4 * more > channels or channels > 4 * _LANES or weight[0].numel() * H * W < _WORTH_LANES
        if not more or wasteful or input.device.type != "cpu" or input.dtype != torch.float32:
            return F.conv2d(input, weight, bias, self.stride, self.padding)
        weight = torch.cat((weight, weight.new_zeros(more, *weight.shape[1:])))
        bias = None if bias is None else F.pad(bias, (0, more))
        wide = weight.contiguous(memory_format=torch.channels_last)
        return F.conv2d(input, wide, bias, self.stride, self.padding)[:, :channels]


def stored_matrix(weight: Tensor) -> Tensor:
    """The weight [out, ...] as a matrix of ``out`` rows, its columns in the order of memory: nothing is copied."""
    return (weight if weight.is_contiguous() else weight.permute(0, 2, 3, 1)).flatten(1)


def from_stored(v: Tensor, weight: Tensor) -> Tensor:
    """A value for each column of :func:`stored_matrix` -> [in / groups, k, k], a view."""
    if weight.is_contiguous():
        return v.view(weight.shape[1:])
    return v.view(*weight.shape[2:], -1).permute(2, 0, 1)


def few_channels(x: Tensor, convolution: GroupedConv2d) -> Tensor:
    """A 3x3 convolution to a few channels, of a map of even height and width, as one of four times as many.

    A processor works on 8 or 16 channels at a time, and takes as long for three. So every 2x2 pixels of the result
    are the channels of one pixel: a 4x4 convolution with stride 2, 4 of whose 16 places belong to one pixel only.

    Args:
        x: [B, C, H, W].
        convolution: with one group, not spectrally normalised.
    """
    weight, (H, W) = convolution.weight, x.shape[2:]
    if x.device.type != "cpu" or convolution.working is not None or H % 2 or W % 2:
        return convolution(x)
    wide = weight.new_zeros(len(weight), 2, 2, weight.shape[1], 4, 4)
    for row in range(2):
        for column in range(2):
            wide[:, row, column, :, row : row + 3, column : column + 3] = weight
    wide = wide.flatten(0, 2).contiguous(memory_format=torch.channels_last)
    bias = None if convolution.bias is None else convolution.bias.repeat_interleave(4)
    return F.pixel_shuffle(F.conv2d(x, wide, bias, stride=2, padding=1), 2)


class TransposedConv2d(nn.ConvTranspose2d):
    """A transposed convolution whose weights come from a given generator."""

    def reset_parameters(self) -> None:
        """Zeros, as :meth:`GroupedConv2d.reset_parameters`."""
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def initialise(self, gain: float, generator: torch.Generator | None = None) -> None:
        """Glorot-normal weight, zero bias."""
        nn.init.xavier_normal_(self.weight, gain=gain, generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


def initialise_network(network: nn.Module, generator: torch.Generator | None, gain: float = 0.02) -> None:
    """Glorot initialisation with ``gain`` of every convolution (section 4.1).

    Args:
        generator: draws the weights; without one they come from a generator seeded with 0.
    """
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, (GroupedConv2d, TransposedConv2d)) and not module.weight.is_meta:
            module.initialise(gain, generator)


def leaky_relu(x: Tensor) -> Tensor:
    """LeakyReLU with slope 0.2, the activation of all the networks; overwrites ``x``."""
    return F.leaky_relu(x, LEAKY_SLOPE, inplace=True)


def copy_all(into: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy tensors of any types and shapes into others of the same, in one operation for each type."""
    for dtype in dict.fromkeys(tensor.dtype for tensor in into):
        pairs = [(a, b) for a, b in zip(into, values, strict=True) if a.dtype == dtype]
        torch._foreach_copy_([a for a, _ in pairs], [b for _, b in pairs])


def weights_state(module: nn.Module) -> tuple[object, ...]:
    """Another value once a weight of a network was replaced, moved, converted or written to."""
    tensors = [*module.parameters(), *module.buffers()]
    return tuple((t.data_ptr(), t.dtype, None if t.is_inference() else t._version) for t in tensors)
