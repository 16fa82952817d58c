"""The convolution of all the networks: grouped, optionally spectrally normalised, Glorot-initialised."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.models.spectral_norm import largest_singular_value, power_iteration

LEAKY_SLOPE = 0.2

# Power iterations at initialisation, so that the first forward already divides by a good estimate.
_INITIAL_ITERATIONS = 15


class GroupedConv2d(nn.Conv2d):
    """A convolution with groups and, on request, spectral normalisation.

    With ``spectral_norm`` the weight [out, in / groups, k, k] is divided by an estimate of its largest singular value
    (:mod:`groupdnet_hub.models.spectral_norm`). The estimate's vectors ``weight_u`` [out] and ``weight_v``
    [in / groups * k * k] are buffers; a forward in training mode first improves them by one power iteration.

    Attributes:
        gain: the largest singular value that a normalised weight is left with.
        working: weight and bias that a training step lends, used as they are instead of its own.
    """

    gain: ClassVar[float] = 1.0
    weight_u: Tensor
    weight_v: Tensor
    working: tuple[Tensor, Tensor | None] | None

    def __init__(  # noqa: PLR0913  (those of nn.Conv2d, and one more)
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
        """Set zeros: networks initialise their layers themselves, and nothing draws from the global generator."""
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def initialise(self, gain: float, generator: torch.Generator | None = None) -> None:
        """Draw a Glorot-normal weight and fresh singular vectors; the bias is zero."""
        # Spectral normalisation takes any gain out again; 1 keeps Adam's fixed step small against such a weight.
        nn.init.xavier_normal_(self.weight, gain=1.0 if self.spectral_norm else gain, generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.spectral_norm:
            self.find_singular_vectors(generator)

    @torch.no_grad()
    def find_singular_vectors(self, generator: torch.Generator | None = None) -> None:
        """Find ``weight_u`` and ``weight_v`` of the present weight by power iterations from a random start."""
        nn.init.normal_(self.weight_u, generator=generator)
        self.weight_u.copy_(F.normalize(self.weight_u, dim=0))
        for _ in range(_INITIAL_ITERATIONS):
            self.iterate()

    def iterate(self) -> None:
        """Improve ``weight_u`` and ``weight_v`` by one power iteration."""
        power_iteration(self.weight, self.weight_u, self.weight_v)

    def singular_value(self) -> Tensor:
        """Return the estimate of the weight's largest singular value that the forward divides by, a scalar."""
        return largest_singular_value(self.weight, self.weight_u, self.weight_v)

    def normalised_weight(self) -> Tensor:
        """Return the weight that the forward uses: with ``spectral_norm``, divided by its singular value."""
        if not self.spectral_norm:
            return self.weight
        # The estimate is a small sum of large products: never in the low precision of autocast.
        with torch.autocast(self.weight.device.type, enabled=False):
            if self.training:
                self.iterate()
            weight = self.weight / self.singular_value().to(self.weight.dtype)
            return weight if self.gain == 1 else self.gain * weight

    def forward(self, input: Tensor) -> Tensor:
        """Convolve [B, in, H, W] -> [B, out, H', W']."""
        if self.working is None:
            return self._conv_forward(input, self.normalised_weight(), self.bias)
        weight, bias = self.working
        return self._conv_forward(input.to(weight.dtype), weight, bias)


def initialise_network(network: nn.Module, generator: torch.Generator | None, gain: float = 0.02) -> None:
    """Initialise every convolution of a network as Glorot with ``gain`` (appendix A).

    ``generator`` draws the weights; without one they come from a generator seeded with 0.
    """
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        initialise = getattr(module, "initialise", None)
        if initialise is not None and not module.weight.is_meta:
            initialise(gain, generator)


def leaky_relu(x: Tensor) -> Tensor:
    """Apply LeakyReLU with slope 0.2, the activation of all the networks, overwriting ``x``."""
    return F.leaky_relu(x, LEAKY_SLOPE, inplace=True)
