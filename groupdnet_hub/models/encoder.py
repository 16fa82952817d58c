"""The grouped encoder (Fig. 8): a Gaussian latent code for each class of a picture."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.models.class_boxes import occupied_range
from groupdnet_hub.models.code_filling import filled, nearest_shown_cells
from groupdnet_hub.models.encoder_colours import COLOUR_CHANNELS, cell_colours, with_colours
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
        """Codes [B, C, z, h, w] by the reparameterisation trick; ``generator`` fixes the noise."""
        # Noise is drawn on the generator's device: one seed then gives one code on every device.
        device = self.mean.device if generator is None else generator.device
        noise = torch.randn(self.mean.shape, generator=generator, device=device).to(self.mean)
        return self.with_noise(noise)

    def with_noise(self, noise: Tensor) -> Tensor:
        """The codes that standard normal noise [B, C, z, h, w] stands for."""
        return self.mean + torch.exp(0.5 * self.logvar) * noise

    def mode(self) -> Tensor:
        """The most probable codes: the mean."""
        return self.mean

    def kl(self) -> Tensor:
        """KL divergence from N(0, 1) in nats for each picture and class [B, C] (section 3.5)."""
        mean, logvar = self.mean.float(), self.logvar.float()
        return -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(dim=(2, 3, 4))


def split_by_class(image: Tensor, label: Tensor, num_classes: int, mode: str) -> Tensor:
    """The encoder's input: one picture for each class (Eq. 2).

    Args:
        image: [B, 3, H, W] in [-1, 1].
        label: int64 [B, H, W].
        mode: ``crop``: the class's pixels (0 elsewhere), cut to their bounding box and resized (nearest) to the
            full size, all zero for an absent class; ``mask``: the class's pixels in place, 0 elsewhere;
            ``none``: the whole picture.

    Returns:
        [B, 3C, H, W], class by class.
    """
    if mode == "none":
        return image.repeat(1, num_classes, 1, 1)
    return split_and_shown(image, label, num_classes, mode)[0]


def split_and_shown(image: Tensor, label: Tensor, num_classes: int, mode: str) -> tuple[Tensor, Tensor]:
    """:func:`split_by_class`, and where its pictures show their class: bool [B, C, H, W]; not for ``none``."""
    B, _, H, W = image.shape
    classes = torch.arange(num_classes, device=label.device)[:, None, None]
    masks = label[:, None] == classes
    if mode == "mask":
        return (image[:, None] * masks[:, :, None]).flatten(1, 2), masks
    rows = _box_positions(masks.any(dim=3))  # [B, C, H]
    columns = _box_positions(masks.any(dim=2))  # [B, C, W]
    source = (rows[..., :, None] * W + columns[..., None, :]).flatten(1)  # [B, C*H*W]
    colours = image.flatten(2).gather(2, source[:, None].expand(-1, 3, -1)).view(B, 3, num_classes, H, W)
    kept = label.flatten(1).gather(1, source).view(B, num_classes, H, W) == classes
    return (colours * kept[:, None]).transpose(1, 2).flatten(1, 2), kept


def _box_positions(occupied: Tensor) -> Tensor:
    """Source positions of a nearest resize of the occupied range [first, last] to the full length.

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


class GroupEncoder(nn.Module):
    """Stride-2 convolutions with one group per class (or one), then mean and log-variance of each class's code.

    With ``encoder_colours`` the last two also see four channels of each class's own colours, in its group; with
    ``code_filling`` cells that show little of their class have the code of the nearest one that does.
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
        """image [B, 3, H, W] in [-1, 1] and label int64 [B, H, W] -> Gaussian over codes [B, C, z, h, w]."""
        how = (image, label, self.copies, self.config.split_mode)
        fills = self.config.code_filling != "none"
        looks = self.config.encoder_colours or fills
        split, shown = split_and_shown(*how) if looks else (split_by_class(*how), None)
        x = split
        for layer in self.layers:
            # Not in place: the norm's result is a view, whose gradient would be copied several times.
            x = F.leaky_relu(F.instance_norm(layer(x)), LEAKY_SLOPE)
        if self.config.latent_mode == "vector":
            x = x.mean(dim=(2, 3), keepdim=True)
        if shown is not None and self.config.encoder_colours:
            x = with_colours(x, cell_colours(split, shown, (x.shape[2], x.shape[3])))
        mean, logvar = self.mean(x).float(), self.logvar(x).float()
        shape = (x.shape[0], self.config.num_classes, self.config.latent_channels, *x.shape[2:])
        mean, logvar = mean.view(shape).to(image.dtype), logvar.view(shape).to(image.dtype)
        if shown is not None and fills:
            cells = nearest_shown_cells(shown, (x.shape[2], x.shape[3]))
            mean, logvar = filled(mean, cells), filled(logvar, cells)
        return Gaussian(mean, logvar)
