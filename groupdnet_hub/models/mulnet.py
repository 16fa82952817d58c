"""Separate networks for the classes, as MulNet has them (section 3.4, Fig. 3a)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from groupdnet_hub.models.layers import GroupedConv2d


class SeparateConv2d(nn.Module):
    """A convolution of each class's network on that class's channels.

    It computes what a grouped convolution with the same weights does, one class after the other. Spectral
    normalisation is that of each network's own weight, where a grouped convolution has one for all.

    Attributes:
        networks: the convolution of each class.
    """

    def __init__(self, like: GroupedConv2d) -> None:
        """Make as many convolutions as ``like`` has groups, with its weights."""
        super().__init__()
        self.groups = like.groups
        self.networks = nn.ModuleList(
            GroupedConv2d(
                like.in_channels // like.groups,
                like.out_channels // like.groups,
                like.kernel_size[0],
                stride=like.stride[0],
                padding=int(like.padding[0]),
                bias=like.bias is not None,
                spectral_norm=like.spectral_norm,
            )
            for _ in range(like.groups)
        )
        self.to(like.weight.device, like.weight.dtype)
        self.copy_weights(like)

    @property
    def weight(self) -> Tensor:
        """[out, in / groups, k, k], as of a grouped convolution."""
        return torch.cat([network.weight for network in self._convolutions()])

    @property
    def bias(self) -> Tensor | None:
        """[out], or None."""
        biases = [network.bias for network in self._convolutions()]
        return torch.cat([b for b in biases if b is not None]) if biases[0] is not None else None

    def normalised_weight(self) -> Tensor:
        """Return [out, in / groups, k, k], each network's part spectrally normalised on its own, if so asked."""
        return torch.cat([network.normalised_weight() for network in self._convolutions()])

    @torch.no_grad()
    def copy_weights(self, grouped: GroupedConv2d) -> None:
        """Take over the weights of a grouped convolution of the same shape."""
        for network, weight in zip(self._convolutions(), grouped.weight.chunk(self.groups), strict=True):
            network.weight.copy_(weight)
        if grouped.bias is not None:
            for network, bias in zip(self._convolutions(), grouped.bias.chunk(self.groups), strict=True):
                assert network.bias is not None
                network.bias.copy_(bias)

    def find_singular_vectors(self, generator: torch.Generator | None = None) -> None:
        """Do as :meth:`GroupedConv2d.find_singular_vectors`."""
        for network in self._convolutions():
            if network.spectral_norm and not network.weight.is_meta:
                network.find_singular_vectors(generator)

    def forward(self, input: Tensor) -> Tensor:
        parts = input.chunk(self.groups, dim=1)
        return torch.cat([network(x) for network, x in zip(self.networks, parts, strict=True)], dim=1)

    def _convolutions(self) -> list[GroupedConv2d]:
        return [network for network in self.networks if isinstance(network, GroupedConv2d)]


def separate_networks(
    module: nn.Module, num_groups: set[int], generator: torch.Generator | None = None
) -> None:
    """Replace, in place, every convolution whose groups are one per class by one for each class.

    Args:
        module: the network, in place.
        num_groups: group counts that mean one per class (classes in the encoder, class slots in the decoder).
        generator: draws the power iterations' starts; without one they come from a generator seeded with 0.
    """
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    for name, child in module.named_children():
        if isinstance(child, GroupedConv2d) and child.groups > 1 and child.groups in num_groups:
            separate = SeparateConv2d(child)
            separate.find_singular_vectors(generator)
            setattr(module, name, separate)
        else:
            separate_networks(child, num_groups, generator)
