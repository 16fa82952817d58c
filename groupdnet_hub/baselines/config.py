"""What the configurations of all baselines hold."""

from __future__ import annotations

from dataclasses import dataclass

from groupdnet_hub.config.serialization import FORMAT_VERSION, JSONConfig, check_format_version
from groupdnet_hub.config.validation import (
    DISCRIMINATOR_NORMS,
    DISCRIMINATORS,
    MAX_CHANNELS,
    Ignored,
    as_ignored,
    as_int_pair,
    as_sequence,
    check_choice,
    check_classes,
    check_int,
    check_sides,
)


@dataclass(frozen=True)
class BaselineConfig(JSONConfig):
    """Everything that fixes the networks of a baseline, with their label set.

    Attributes:
        class_names: one name per class; the position is the class id.
        palette: one RGB colour (0..255) per class, for coloured label maps.
        image_size: (height, width) of the pictures.
        width: channels of the generator's widest-resolution layer.
        instance_edges: whether the label input holds the instance edge map (Cityscapes).
        discriminator: ``multiscale`` or ``segmentation``, as that of a GroupDNet.
        discriminator_width: output channels of the discriminator's first convolution.
        discriminator_scales: number of scales of the multi-scale discriminator.
        discriminator_norm: ``instance``, instance normalisation in the discriminator, or ``none``.
        ignore: ids and RGB colours that stand for "unknown" in label maps, see :class:`groupdnet_hub.LabelSet`; a file
            without any lacks the key.
        format_version: version of this file format.
    """

    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    image_size: tuple[int, int]
    width: int
    instance_edges: bool = False
    discriminator: str = "multiscale"
    discriminator_width: int = 64
    discriminator_scales: int = 2
    discriminator_norm: str = "instance"
    ignore: tuple[Ignored, ...] = ()
    format_version: int = FORMAT_VERSION

    @property
    def system_name(self) -> str:
        """The name that tables and model cards print."""
        return self.system_key or type(self).__name__

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return len(self.class_names)

    @property
    def label_channels(self) -> int:
        """Channels of the label input: one-hot, plus one edge map with instance edges."""
        return self.num_classes + (1 if self.instance_edges else 0)

    @property
    def discriminator_label_channels(self) -> int:
        """Channels of the discriminator's label input."""
        return self.label_channels

    @property
    def discriminator_spectral_norm(self) -> bool:
        """Whether the discriminator is spectrally normalised."""
        return False

    @property
    def size_factor(self) -> int:
        """What both sides of a picture must be multiples of."""
        return 1

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Shape of the codes of one picture: (1, z, 1, 1), one code for all classes, or (0,) without any."""
        return (0,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(as_sequence(self.class_names, "class_names")))
        colours = (tuple(as_sequence(c, "palette")) for c in as_sequence(self.palette, "palette"))
        object.__setattr__(self, "palette", tuple(colours))
        object.__setattr__(self, "image_size", as_int_pair(self.image_size, "image_size"))
        check_format_version(self.format_version)
        check_classes(self.class_names, self.palette, len(self.class_names))
        object.__setattr__(self, "ignore", as_ignored(self.ignore, self.palette))
        check_int(self.width, "width", 1, MAX_CHANNELS // 16)
        check_choice(self.instance_edges, "instance_edges", (True, False))
        check_choice(self.discriminator, "discriminator", DISCRIMINATORS)
        check_int(self.discriminator_width, "discriminator_width", 1, MAX_CHANNELS)
        check_int(self.discriminator_scales, "discriminator_scales", 1, 8)
        check_choice(self.discriminator_norm, "discriminator_norm", DISCRIMINATOR_NORMS)
        check_sides(self.image_size, self.size_factor)
