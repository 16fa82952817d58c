"""The paper's three networks (Table 4), as fields of a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from groupdnet_hub.config.decoder_layout import (
    encoder_multipliers,
    modulation_like_ade20k,
    modulation_like_cityscapes,
    modulation_like_deepfashion,
)
from groupdnet_hub.config.validation import Ignored

PRESETS = ("deepfashion", "cityscapes", "ade20k")

DEEPFASHION_CLASSES = (
    "background",
    "hair",
    "face",
    "skin",
    "top-clothes",
    "bottom-clothes",
    "socks",
    "shoes",
)
DEEPFASHION_PALETTE = (
    (0, 0, 0),
    (140, 80, 30),
    (255, 200, 160),
    (230, 140, 110),
    (60, 120, 216),
    (90, 170, 70),
    (160, 90, 190),
    (240, 200, 40),
)


def preset_fields(name: str) -> dict[str, Any]:
    """Return the fields of a preset.

    Args:
        name: ``deepfashion``, ``cityscapes`` (35 raw labelIds and instance maps) or ``ade20k`` (raw annotation ids 0 to
            150, where 0 is "other").

    Raises:
        ValueError: for any other name.
    """
    if name == "deepfashion":
        C, groups = 160, (8, 8, 4, 4, 2, 2, 1)
        out = (16 * C, 16 * C, 16 * C, 8 * C, 4 * C, 2 * C, C)
        return {
            "class_names": DEEPFASHION_CLASSES,
            "palette": DEEPFASHION_PALETTE,
            "image_size": (256, 256),
            "blocks": modulation_like_deepfashion(out, groups),
            "fc_channels": 16 * C,
            "encoder_width": 256,
            "encoder_multipliers": encoder_multipliers(6),
            "class_slots": 8,
        }
    if name == "cityscapes":
        C, groups = 280, (35, 35, 20, 14, 10, 4, 1)
        out = (16 * C, 16 * C, 16 * C, 8 * C, 4 * C, 2 * C, C)
        return {
            "class_names": tuple(f"label-{i}" for i in range(35)),
            "palette": numbered_palette(35),
            "image_size": (256, 512),
            "blocks": modulation_like_cityscapes(out, groups, num_classes=35),
            "fc_channels": 16 * C,
            "encoder_width": 350,
            "encoder_multipliers": encoder_multipliers(6),
            "class_slots": 35,
            "instance_edges": True,
        }
    if name == "ade20k":
        C, groups = 64, (151, 16, 16, 8, 4, 2, 1)
        out = (2416, 32 * C, 16 * C, 16 * C, 8 * C, 4 * C, 2 * C)
        return {
            "class_names": ("other", *(f"label-{i}" for i in range(1, 151))),
            "palette": numbered_palette(151),
            "image_size": (256, 256),
            "blocks": modulation_like_ade20k(out, groups, num_classes=151),
            "fc_channels": 2416,
            "encoder_width": 604,
            "encoder_multipliers": encoder_multipliers(6),
            "class_slots": 151,
        }
    raise ValueError(f"unknown preset {name!r}: the presets are {', '.join(PRESETS)}")


# Colour of unknown pixels in Pascal VOC's label maps, and the distance from all classes at which it can be used.
_VOID, _FAR = (224, 224, 192), 16


def dont_care_class(names: Sequence[str], ignore: Sequence[Ignored] = ()) -> int | None:
    """Return the id of the class that stands for "no class"; None if there is none.

    Args:
        names: class names by id.
        ignore: ids and colours of unknown pixels. The first class among them is it, or else that of Cityscapes' and
            ADE20K's maps.
    """
    ignored = [value for value in ignore if isinstance(value, int) and value < len(names)]
    if ignored:
        return ignored[0]
    if len(names) == 35 and names[0] in ("unlabeled", "label-0"):
        return 0
    return 0 if len(names) == 151 and names[0] == "other" else None


def numbered_palette(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return distinct colours for up to 4096 classes: bits of the class id spread over the three channels."""
    colours = []
    for class_id in range(count):
        channels = [0, 0, 0]
        for bit in range(12):
            channels[bit % 3] |= ((class_id >> bit) & 1) << (7 - bit // 3)
        colours.append((channels[0], channels[1], channels[2]))
    return tuple(colours)


def free_colour(palette: Sequence[tuple[int, int, int]]) -> tuple[int, int, int]:
    """Return a colour that no class has, for unknown pixels: Pascal VOC's, or else one far from all of a palette."""

    def distance(colour: tuple[int, int, int]) -> int:
        return min(
            (max(abs(a - b) for a, b in zip(colour, one, strict=True)) for one in palette), default=255
        )

    if distance(_VOID) > _FAR:
        return _VOID
    steps = (*range(0, 256, 32), 255)
    coarse = ((r, g, b) for r in steps for g in steps for b in steps)
    best = max(coarse, key=distance)
    if distance(best):
        return best
    return next(
        (r, g, b) for r in range(256) for g in range(256) for b in range(256) if (r, g, b) not in palette
    )
