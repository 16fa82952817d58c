"""Settings of the metrics of several pictures of each label map."""

from __future__ import annotations

from dataclasses import dataclass

from groupdnet_hub.runs.settings import Settings, at_least, option

# Names of the metrics, in the order in which they are reported.
SAMPLED_METRICS = (
    *("kid", "kid_inception", "sharpness", "fixed_pattern"),
    *("faces", "memory", "tone", "chroma"),
)


@dataclass(frozen=True, kw_only=True)
class SampledSettings(Settings):
    """Metrics of several pictures of each label map."""

    name_suffix: str | None = option(
        None,
        "measure only items whose picture's name ends so before its suffix, such as _full or _upper, to judge one "
        "frame; training photos are chosen alike",
        metavar="END",
    )
    kid_seeds: int = option(
        4,
        "pictures per label map for kid and the other metrics of several pictures, except fixed_pattern",
        check=at_least(1),
    )
    pattern_seeds: int = option(12, "pictures per label map for fixed_pattern", check=at_least(1))
    train_data_dir: str | None = option(None, "data set folder of the training photos; by default --data_dir")
    train_split: str = option("train", "its split")
    garment_classes: tuple[str, ...] | None = option(
        None,
        "for sharpness; by default top-clothes, bottom-clothes, top, outerwear, dress, skirt, trousers and scarf "
        "where the label set has some of them, else all but the first class",
        metavar="CLASS",
    )
    pattern_classes: tuple[str, ...] | None = option(
        None,
        "for fixed_pattern; by default top-clothes, top, outerwear and dress, else all but the first class",
        metavar="CLASS",
    )
    chroma_classes: tuple[str, ...] | None = option(
        None,
        "for chroma; by default top-clothes, top and dress, else all but the first class",
        metavar="CLASS",
    )
    head_classes: tuple[str, ...] | None = option(
        None, "for faces; by default hair, hat, face and glasses", metavar="CLASS"
    )
    tone_classes: tuple[str, str] | None = option(
        None, "for tone; by default face and skin", metavar=("FACE", "SKIN")
    )
