"""What all baselines share behind the interface of :class:`groupdnet_hub.ImageSynthesisSystem`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.baselines.config import BaselineConfig
from groupdnet_hub.data.labels import LabelSet, one_hot
from groupdnet_hub.hub.mixin import StrictHubMixin
from groupdnet_hub.models.encoder import Gaussian
from groupdnet_hub.models.inputs import check_image, checked_edges, checked_label


@dataclass(frozen=True)
class LabelInput:
    """Label maps as the networks of a baseline read them.

    Attributes:
        channels: [B, C (+ 1), H, W]: one-hot, and the edge map with instance edges.
    """

    channels: Tensor


class BaselineSystem(nn.Module, StrictHubMixin):
    """A generator without codes for single classes: what is drawn anew is the whole code (section 4.2).

    A subclass makes its networks and has :meth:`draw`, and :meth:`encode` where there is an encoder.

    Attributes:
        trusts_labels: as of :class:`groupdnet_hub.GroupDNet`.
    """

    config: BaselineConfig
    trusts_labels = False

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__()
        self.config = config
        self.card_facts: dict[str, Any] = {}
        self.labels = LabelSet(config.class_names, config.palette, config.ignore)

    @property
    def has_class_codes(self) -> bool:
        """False: one code, or none, stands for all classes."""
        return False

    @property
    def has_encoder(self) -> bool:
        """Whether there is an :meth:`encode`."""
        return False

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return next(self.parameters()).dtype

    def prepare(self, label: Tensor, instance: Tensor | None = None) -> Any:
        """Return the label map's part of :meth:`decode`, for many codes on one map.

        Args:
            label: int64 [B, H, W]; B is 1, or that of the codes.
            instance: int64 [B, H, W] instance ids, for a model with instance edges only.

        Raises:
            ValueError: for a map that does not fit the model, and for a missing or an unused instance map.
        """
        label = self._checked_label(label)
        edges = checked_edges(instance, label, self.config.instance_edges)
        channels = one_hot(label, self.config.num_classes, self.dtype, check=False)
        return LabelInput(channels if edges is None else torch.cat((channels, edges.to(channels)), dim=1))

    def sample_codes(
        self,
        batch: int = 1,
        *,
        generator: torch.Generator | None = None,
        label_size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Draw codes [B, 1, z, 1, 1] from N(0, 1), or [B, 0] for a system without any.

        Args:
            batch: number of codes, B.
            generator: fixes them; they are drawn on its device.
            label_size: not used: the code has no place.
        """
        if generator is None:
            generator = torch.Generator(self.device)
            generator.seed()
        noise = torch.randn(batch, *self.config.code_shape, generator=generator, device=generator.device)
        return noise.to(self.device, self.dtype)

    def redraw(self, codes: Tensor, class_id: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw fresh codes for all classes, since none has one of its own."""
        return self.sample_codes(len(codes), generator=generator).to(codes)

    def decode(self, codes: Tensor, label: Any, instance: Tensor | None = None) -> Tensor:
        """Draw label maps, or what :meth:`prepare` made of them -> pictures [B, 3, H, W] in [-1, 1].

        Raises:
            ValueError: for codes that do not fit the model, and as :meth:`prepare`.
        """
        prepared = self.prepare(label, instance) if isinstance(label, Tensor) else label
        if tuple(codes.shape[1:]) != self.config.code_shape:
            raise ValueError(
                f"codes have shape {tuple(codes.shape)}; this model needs [B, "
                f"{', '.join(map(str, self.config.code_shape))}]"
            )
        return self.draw(codes.to(self.device, self.dtype), prepared)

    def encode(self, image: Tensor, label: Tensor) -> Gaussian:
        """Return the posterior of a picture's code, where there is an encoder.

        Raises:
            ValueError: where there is none.
        """
        raise ValueError(f"a {self.config.system_name} has no encoder")

    def draw(self, codes: Tensor, prepared: Any) -> Tensor:
        """Draw checked codes on a prepared label map."""
        raise NotImplementedError

    def _checked_label(self, label: Tensor) -> Tensor:
        config = self.config
        num_classes = None if self.trusts_labels else config.num_classes
        return checked_label(label, num_classes, config.size_factor, config.image_size, self.device)

    def _checked_pair(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        label = self._checked_label(label)
        check_image(image, label)
        return image.to(self.device, self.dtype), label


def expanded(channels: Tensor, batch: int) -> Tensor:
    """Expand label input [B or 1, ...] -> [batch, ...].

    Raises:
        ValueError: for another number of maps.
    """
    if channels.shape[0] not in (1, batch):
        raise ValueError(f"{batch} codes cannot be drawn on {channels.shape[0]} label maps")
    return channels.expand(batch, -1, -1, -1)


class TransposedConv2d(nn.ConvTranspose2d):
    """A transposed convolution whose weights come from a given generator."""

    def reset_parameters(self) -> None:
        """Set zeros: networks initialise their layers themselves, and nothing draws from the global generator."""
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def initialise(self, gain: float, generator: torch.Generator | None = None) -> None:
        """Draw a Glorot-normal weight; the bias is zero."""
        nn.init.xavier_normal_(self.weight, gain=gain, generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve [B, in, H, W] -> [B, out, H', W'] in the precision of the input, which a training step may round."""
        stride, padding, kernel, dilation = (
            [int(side) for side in sides]
            for sides in (self.stride, self.padding, self.kernel_size, self.dilation)
        )
        beyond = self._output_padding(input, output_size, stride, padding, kernel, 2, dilation)
        weight = self.weight.to(input.dtype)
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return F.conv_transpose2d(input, weight, bias, stride, padding, beyond, self.groups, dilation)
