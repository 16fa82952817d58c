"""The grouped encoder (Fig. 8): a Gaussian latent code for each class of a picture."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.models.encoder_options import (
    COLOUR_CHANNELS,
    cell_colours,
    filled,
    nearest_shown_cells,
    with_colours,
)
from groupdnet_hub.models.layers import LEAKY_SLOPE, GroupedConv2d, initialise_network


@dataclass(frozen=True)
class Gaussian:
    """The posterior N(mean, exp(logvar)) of the latent codes, each class on its own.

    Attributes:
        mean, logvar: [B, C, z, h, w].
    """

    mean: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw codes [B, C, z, h, w] by the reparameterisation trick; ``generator`` fixes the noise."""
        # Noise is drawn on the generator's device: one seed then gives one code on every device.
        device = self.mean.device if generator is None else generator.device
        noise = torch.randn(self.mean.shape, generator=generator, device=device).to(self.mean)
        return self.with_noise(noise)

    def with_noise(self, noise: Tensor) -> Tensor:
        """Return the codes that standard normal noise [B, C, z, h, w] stands for."""
        return self.mean + torch.exp(0.5 * self.logvar) * noise

    def mode(self) -> Tensor:
        """Return the most probable codes: the mean."""
        return self.mean

    def kl(self) -> Tensor:
        """Return the KL divergence from N(0, 1) in nats for each picture and class, [B, C] (Eq. 1)."""
        mean, logvar = self.mean.float(), self.logvar.float()
        return -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(dim=(2, 3, 4))


torch.export.register_dataclass(Gaussian)  # so that it takes modules that return one


def split_by_class(image: Tensor, label: Tensor, num_classes: int, mode: str) -> tuple[Tensor, Tensor | None]:
    """Return the encoder's input: one picture for each class, X_c = M_c X (Eq. 2).

    Args:
        image: [B, 3, H, W] in [-1, 1].
        label: int64 [B, H, W].
        num_classes: number of classes, C.
        mode: ``mask``: the class's pixels in place, 0 elsewhere; ``crop``: these, cut to their bounding box and
            resized (nearest) to the full size, as the authors' code does, all zero for an absent class; ``none``: the
            whole picture.

    Returns:
        ([B, 3C, H, W], class by class; where they show their class, bool [B, C, H, W], or None for ``none``).
    """
    if mode == "none":
        return image.repeat(1, num_classes, 1, 1), None
    B, _, H, W = image.shape
    classes = torch.arange(num_classes, device=label.device)[:, None, None]
    masks = label[:, None] == classes
    if mode == "mask":
        return (image[:, None] * masks[:, :, None]).flatten(1, 2), masks
    rows = _box_positions(masks.any(dim=3))  # [B, C, H]
    columns = _box_positions(masks.any(dim=2))  # [B, C, W]
    source = (rows[..., :, None] * W + columns[..., None, :]).flatten(1)  # [B, C*H*W]
    colours = image.flatten(2).gather(2, source[:, None].expand(-1, 3, -1)).view(B, 3, num_classes, H, W)
    shown = label.flatten(1).gather(1, source).view(B, num_classes, H, W) == classes
    return (colours * shown[:, None]).transpose(1, 2).flatten(1, 2), shown


def _box_positions(occupied: Tensor) -> Tensor:
    """Return source positions of a nearest resize of the occupied range [first, last] to the full length.

    Args:
        occupied: bool [..., N].

    Returns:
        int64 [..., N]; zeros where nothing is occupied.
    """
    length = occupied.shape[-1]
    places = torch.arange(length, device=occupied.device)
    first, extent = occupied_range(occupied)
    # Single precision and this order of operations, as F.interpolate computes its source positions.
    offset = (places.float() * (extent.float() / length)).floor().long()
    return (first + torch.minimum(offset, (extent - 1).clamp(min=0))).clamp(max=length - 1)


def occupied_range(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range from the first to the last occupied place along the last axis.

    Args:
        occupied: bool [..., N].

    Returns:
        (first place, number of places), int64 [..., 1] each; (N, 0) where nothing is occupied.
    """
    length = occupied.shape[-1]
    places = torch.arange(length, device=occupied.device)
    first = torch.where(occupied, places, length).amin(dim=-1, keepdim=True)
    last = torch.where(occupied, places, -1).amax(dim=-1, keepdim=True)
    return first, (last - first + 1).clamp(min=0)


class GroupEncoder(nn.Module):
    """Stride-2 convolutions with a group for each class (or one), then mean and log-variance of each code (Fig. 8).

    With ``encoder_colours`` the last two also see four channels of each class's own colours, in its group; with
    ``code_filling`` cells that show little of their class have the code of the nearest one that does
    (:mod:`groupdnet_hub.models.encoder_options`).

    Args:
        config: the network.
        generator: draws the weights; without one they come from a generator seeded with 0.
    """

    def __init__(self, config: GroupDNetConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        classes, groups = config.num_classes, config.encoder_groups
        # An ordinary encoder of the whole picture needs it once.
        self.copies = classes if config.encoder_grouped or config.split_mode != "none" else 1
        widths = [3 * self.copies, *(config.encoder_width * m for m in config.encoder_multipliers)]
        self.layers = nn.ModuleList(
            GroupedConv2d(
                before, after, stride=2, groups=groups, bias=False, spectral_norm=config.spectral_norm
            )
            for before, after in itertools.pairwise(widths)
        )
        codes = classes * config.latent_channels
        features = widths[-1] + (COLOUR_CHANNELS * classes if config.encoder_colours else 0)
        self.mean = GroupedConv2d(features, codes, groups=groups)
        self.logvar = GroupedConv2d(features, codes, groups=groups)
        initialise_network(self, generator)

    def forward(self, image: Tensor, label: Tensor) -> Gaussian:
        """Encode pictures [B, 3, H, W] in [-1, 1] with label maps int64 [B, H, W] -> codes [B, C, z, h, w]."""
        config = self.config
        split, shown = split_by_class(image, label, self.copies, config.split_mode)
        x = split
        for layer in self.layers:
            # Not in place: the norm's result is a view, whose gradient would be copied several times.
            x = F.leaky_relu(F.instance_norm(layer(x)), LEAKY_SLOPE)
        if config.latent_mode == "vector":
            x = x.mean(dim=(2, 3), keepdim=True)
        size = x.shape[2], x.shape[3]
        if shown is not None and config.encoder_colours:
            x = with_colours(x, cell_colours(split, shown, size))
        shape = (x.shape[0], config.num_classes, config.latent_channels, *size)
        mean, logvar = (layer(x).float().view(shape).to(image.dtype) for layer in (self.mean, self.logvar))
        if shown is not None and config.code_filling != "none":
            cells = nearest_shown_cells(shown, size)
            mean, logvar = filled(mean, cells), filled(logvar, cells)
        return Gaussian(mean, logvar)
