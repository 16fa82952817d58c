"""The configuration of a GroupDNet: frozen, validated, a plain JSON object on disk.

Sections, tables and figures named here are those of "Semantically Multi-modal Image Synthesis" (CVPR 2020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from groupdnet_hub.config.cost import Cost
from groupdnet_hub.config.decoder_layout import BlockConfig, blocks_for_labels, encoder_multipliers
from groupdnet_hub.config.network_cost import groupdnet_cost
from groupdnet_hub.config.presets import preset_fields
from groupdnet_hub.config.serialization import FORMAT_VERSION, JSONConfig, check_format_version
from groupdnet_hub.config.validation import (
    DISCRIMINATOR_NORMS,
    DISCRIMINATORS,
    MAX_CHANNELS,
    Ignored,
    as_ignored,
    as_int_pair,
    as_sequence,
    blocks_from_json,
    check_choice,
    check_class_order,
    check_classes,
    check_code_filling,
    check_decoder,
    check_encoder,
    check_encoder_colours,
    check_int,
    check_placement,
    check_prior,
    check_prior_ties,
    check_size,
    halvings_for,
)

SPLIT_MODES = ("crop", "mask", "none")
LATENT_MODES = ("map", "vector")
NORM_KINDS = ("batch", "group")


class HasNamesAndPalette(Protocol):
    """The part of a label set that :meth:`GroupDNetConfig.for_labels` reads (``LabelSet`` has it)."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]: ...


@dataclass(frozen=True)
class GroupDNetConfig(JSONConfig):
    """Everything that determines the networks of a GroupDNet.

    Attributes:
        class_names: name of each class; the position is the class id.
        palette: RGB colour (0..255) of each class, for coloured label maps.
        image_size: (height, width) of the pictures.
        blocks: the CG-Blocks of the decoder, first to last (Table 4); see :class:`BlockConfig`.
        fc_channels: output channels of the grouped convolution in front of the first block.
        encoder_width: w of Fig. 8: output channels of the encoder's first convolution, for all classes together.
        encoder_multipliers: output channels of each stride-2 encoder convolution, as multiples of w.
        class_slots: number of class positions in codes and label input; slots past the last class stay
            empty. More slots than classes let the groups of a prime number of classes divide evenly.
        class_order: class ids in the order of their slots, so that chosen classes are neighbours and share groups;
            empty for the order of the ids. Label maps, codes and names keep their ids whatever the order.
        latent_channels: z, channels of the latent code of one class.
        code_placement: ``frame``: each code covers the frame (as in the paper); ``box``: it covers its class's
            bounding box in the label map, which the encoder's ``crop`` split sees (see ``models/code_placement.py``).
        code_grid: with ``box``, the factor by which the grid that codes are pasted into is finer, in height and width,
            than the decoder's first feature map; a power of two.
        encoder_colours: whether the encoder's last layers also see the mean colour of each class in each cell of its
            code, which instance normalisation removes otherwise (see ``models/encoder_options.py``).
        code_filling: ``none``, or ``nearest``: cells of a code that show little of their class take the code of the
            nearest cell that does, so that the code fits another label map too (see ``models/encoder_options.py``).
        instance_edges: whether the label input holds the instance edge map (Cityscapes).
        split_mode: how the image is split by class for the encoder: ``crop`` (each class cut to its bounding
            box and resized), ``mask`` (Eq. 2) or ``none`` (ablation "w/o split": every group sees all of X).
        latent_mode: ``map`` or ``vector`` (ablation "w/o map": global average pooling at the encoder's end).
        norm_kind: ``batch`` or ``group`` (ablation "-> GroupNorm") inside CG-Norm.
        prior_rank: number of principal directions of a Gaussian fitted to each class's codes after training, from which
            new codes are drawn.
        prior_codes: number of pictures whose codes are stored after training, per class; new codes are drawn around
            them. With both 0 they are drawn from N(0, 1), as in the paper; one at least is 0 (see ``models/prior.py``).
        prior_ties: with ``prior_codes``, groups of class names whose new codes come from one picture, such as
            ``(("face", "skin"),)``; each class is in one tie at most.
        encoder_grouped: whether the encoder has one group per class. Otherwise it is an ordinary one (GroupDec), which
            with ``split_mode="none"`` sees the picture once.
        fc_groups: groups of the convolution in front of the first block; None for one per class slot. An ordinary
            decoder has 1 (GroupEnc).
        fusion_layers: number of ordinary 3x3 convolutions between the last block and the picture, the fusing module of
            GroupNet and MulNet (Fig. 3).
        separate_networks: whether every convolution with one group per class is split into one convolution per class,
            each with its own weights and spectral norm: the encoders and decoders of MulNet (Fig. 3a).
        spectral_norm: whether to use spectral normalisation in encoder, decoder and discriminator (ablation
            "w/o SpecNorm").
        discriminator: ``multiscale`` (Fig. 7), or ``segmentation``, which classifies each pixel as one of the classes
            or as fake (see ``models/segmentation_discriminator.py``).
        discriminator_width: output channels of the discriminator's first convolution (Fig. 7).
        discriminator_scales: number of scales of the multi-scale discriminator.
        discriminator_norm: ``instance``, instance normalisation in the discriminator (Fig. 7), or ``none``: only
            spectral normalisation, of all its layers.
        ignore: ids and RGB colours that stand for "unknown" in label maps, see :class:`groupdnet_hub.LabelSet`; a file
            without any lacks the key.
        format_version: version of this file format.
    """

    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    image_size: tuple[int, int]
    blocks: tuple[BlockConfig, ...]
    fc_channels: int
    encoder_width: int
    encoder_multipliers: tuple[int, ...]
    class_slots: int
    latent_channels: int = 8
    instance_edges: bool = False
    split_mode: str = "crop"
    latent_mode: str = "map"
    prior_rank: int = 0
    prior_codes: int = 0
    prior_ties: tuple[tuple[str, ...], ...] = ()
    norm_kind: str = "batch"
    encoder_grouped: bool = True
    fc_groups: int | None = None
    fusion_layers: int = 0
    separate_networks: bool = False
    class_order: tuple[int, ...] = ()
    code_placement: str = "frame"
    code_grid: int = 1
    encoder_colours: bool = False
    code_filling: str = "none"
    spectral_norm: bool = True
    discriminator: str = "multiscale"
    discriminator_width: int = 64
    discriminator_scales: int = 2
    discriminator_norm: str = "instance"
    ignore: tuple[Ignored, ...] = ()
    format_version: int = FORMAT_VERSION

    # -- derived values --------------------------------------------------------------------------------------

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return len(self.class_names)

    @property
    def size_factor(self) -> int:
        """How many times as high and wide as its latent map a picture is: every block but the last doubles it."""
        return 2 ** (len(self.blocks) - 1)

    @property
    def latent_size(self) -> tuple[int, int]:
        """(height, width) of the decoder's first feature map and of a latent map."""
        return self.image_size[0] // self.size_factor, self.image_size[1] // self.size_factor

    @property
    def code_shape(self) -> tuple[int, int, int, int]:
        """Shape [C, z, h, w] of the latent codes of one picture."""
        spatial = self.latent_size if self.latent_mode == "map" else (1, 1)
        return (self.num_classes, self.latent_channels, *spatial)

    @property
    def code_channels(self) -> int:
        """Channels of each class in front of the decoder's first convolution."""
        return self.latent_channels * self.code_grid**2

    @property
    def prior_tie_ids(self) -> tuple[tuple[int, ...], ...]:
        """``prior_ties`` as class ids."""
        return tuple(tuple(self.class_names.index(name) for name in tie) for tie in self.prior_ties)

    @property
    def encoder_groups(self) -> int:
        """Groups of the encoder's convolutions."""
        return self.num_classes if self.encoder_grouped else 1

    @property
    def label_channels(self) -> int:
        """Channels of the decoder's label input: one per slot, or two (one-hot, edge) with instance edges."""
        return self.class_slots * (2 if self.instance_edges else 1)

    @property
    def discriminator_label_channels(self) -> int:
        """Channels of the discriminator's label input: one-hot, plus one edge map with instance edges."""
        return self.num_classes + (1 if self.instance_edges else 0)

    @property
    def discriminator_spectral_norm(self) -> bool:
        """Whether the discriminator is spectrally normalised: as the other networks."""
        return self.spectral_norm

    @property
    def separate_convolutions(self) -> int:
        """Lower bound of the number of convolutions of ``separate_networks``: those outside CG-Norm."""
        if not self.separate_networks:
            return 0
        per_class = {self.num_classes, self.class_slots}
        encoder = self.num_classes * (len(self.encoder_multipliers) + 2) if self.encoder_grouped else 0
        fc = self.class_slots if self.fc_groups is None else 0
        return encoder + fc + sum(2 * block.groups for block in self.blocks if block.groups in per_class)

    @property
    def cost(self) -> Cost:
        """What encoding a photo and drawing a picture cost."""
        return groupdnet_cost(self)

    @property
    def system_name(self) -> str:
        """Name of a network with these groups in the paper's Table 1."""
        if self.separate_networks:
            return "MulNet"
        if self.fusion_layers:
            return "GroupNet"
        if not self.encoder_grouped:
            return "GroupDec"
        return "GroupEnc" if self.fc_groups == 1 else "GroupDNet"

    # -- factories -------------------------------------------------------------------------------------------

    @classmethod
    def preset(cls, name: str) -> GroupDNetConfig:
        """Return the full-width network of Table 4 for ``deepfashion``, ``cityscapes`` or ``ade20k``.

        Raises:
            ValueError: for any other name.
        """
        return cls(**preset_fields(name))

    @classmethod
    def for_labels(
        cls,
        labels: HasNamesAndPalette,
        image_size: tuple[int, int] = (256, 256),
        width: int = 48,
        *,
        encoder_width: int | None = None,
        groups: Sequence[int] | None = None,
        hidden_per_class: int | None = None,
        **fields: Any,
    ) -> GroupDNetConfig:
        """Return a valid network for any label set of 1 to 4096 classes.

        Args:
            labels: a ``LabelSet``, or anything with ``names`` and ``palette``.
            image_size: (height, width), both a multiple of 2**k, where the smaller side is 4 to 8 times 2**k.
            width: channels of the decoder's last block (160 in the paper's DeepFashion network).
            encoder_width: channels of the encoder's first convolution, a multiple of the number of classes; by
                default the paper's ratio to ``width``, with at least 4 per class.
            groups: group count of each block; by default they fall from one per class to 1, as in Table 4.
            hidden_per_class: hidden channels of each CG-Norm per class slot; by default 0.8 * ``width`` for all slots
                together, with at least 2 per slot.
            fields: any other field of the configuration, such as ``split_mode`` or ``norm_kind``. ``code_grid`` is 4
                by default with ``code_placement="box"``.

        Raises:
            ValueError: for a size or width that cannot work; the message says which would.
        """
        image_size = as_int_pair(image_size, "image_size")
        num_classes = len(labels.names)
        if num_classes == 0:
            raise ValueError("the label set is empty: a GroupDNet needs at least one class")
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"width is {width!r}; it must be a whole number of at least 1")
        halvings = halvings_for(image_size)
        blocks, fc_channels, slots = blocks_for_labels(
            num_classes, halvings + 1, width, groups, hidden_per_class
        )
        if encoder_width is None:
            encoder_width = num_classes * max(4, min(32, round(1.6 * width / num_classes)))
        if fields.get("code_placement") == "box":
            fields = {"code_grid": min(4, 2**halvings), **fields}
        return cls(
            class_names=tuple(labels.names),
            palette=tuple(labels.palette),
            ignore=tuple(getattr(labels, "ignore", ())),
            image_size=image_size,
            blocks=blocks,
            fc_channels=fc_channels,
            encoder_width=encoder_width,
            encoder_multipliers=encoder_multipliers(halvings),
            class_slots=slots,
            **fields,
        )

    @classmethod
    def _fields_from_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        return values | {"blocks": blocks_from_json(values["blocks"])}

    # -- validation ------------------------------------------------------------------------------------------

    def __post_init__(self) -> None:
        # JSON has lists where the configuration has tuples.
        for name in ("class_names", "blocks", "encoder_multipliers", "class_order"):
            object.__setattr__(self, name, tuple(as_sequence(getattr(self, name), name)))
        palette = tuple(tuple(as_sequence(c, "palette")) for c in as_sequence(self.palette, "palette"))
        object.__setattr__(self, "palette", palette)
        object.__setattr__(self, "image_size", as_int_pair(self.image_size, "image_size"))
        ties = as_sequence(self.prior_ties, "prior_ties")
        object.__setattr__(
            self, "prior_ties", tuple(tuple(as_sequence(tie, "a tie of prior_ties")) for tie in ties)
        )
        check_format_version(self.format_version)
        check_choice(self.split_mode, "split_mode", SPLIT_MODES)
        check_choice(self.latent_mode, "latent_mode", LATENT_MODES)
        check_choice(self.norm_kind, "norm_kind", NORM_KINDS)
        for name in ("instance_edges", "spectral_norm", "encoder_grouped", "separate_networks"):
            check_choice(getattr(self, name), name, (True, False))
        check_int(self.fusion_layers, "fusion_layers", 0, 16)
        check_int(self.latent_channels, "latent_channels", 1, MAX_CHANNELS)
        check_choice(self.discriminator, "discriminator", DISCRIMINATORS)
        check_int(self.discriminator_width, "discriminator_width", 1, MAX_CHANNELS)
        check_int(self.discriminator_scales, "discriminator_scales", 1, 8)
        check_choice(self.discriminator_norm, "discriminator_norm", DISCRIMINATOR_NORMS)
        check_classes(self.class_names, self.palette, self.class_slots)
        object.__setattr__(self, "ignore", as_ignored(self.ignore, palette))
        check_class_order(self.class_order, self.num_classes)
        check_size(self.image_size, len(self.blocks))
        check_placement(
            self.code_placement, self.code_grid, self.split_mode, self.latent_channels, len(self.blocks)
        )
        check_encoder_colours(self.encoder_colours, self.encoder_grouped, self.split_mode)
        check_code_filling(self.code_filling, self.encoder_grouped, self.split_mode)
        check_prior(self.prior_rank, self.prior_codes, math.prod(self.code_shape[1:]))
        check_prior_ties(self.prior_ties, self.class_names, self.prior_codes)
        check_encoder(self.encoder_width, self.encoder_multipliers, self.encoder_groups, len(self.blocks))
        check_decoder(self.blocks, self.fc_channels, self.class_slots, self.label_channels, self.fc_groups)
