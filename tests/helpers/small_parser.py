"""Small parsers: a segmentation model of transformers, saved as those of the Hub are, and one that knows colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from page.core.photo_reading.parser import PhotoParser

from groupdnet_hub import LabelSet

NAMES = ("Background", "Hat", "Left-shoe", "Upper-clothes", "Kite")


def save_small_parser(folder: Path, names: Sequence[str] = NAMES) -> Path:
    """An untrained parser with these class names; a skip where transformers is not installed."""
    transformers = pytest.importorskip("transformers", reason="the parser needs transformers")
    config = transformers.SegformerConfig(
        num_encoder_blocks=1,
        depths=[1],
        sr_ratios=[1],
        hidden_sizes=[8],
        patch_sizes=[3],
        strides=[2],
        num_attention_heads=[1],
        decoder_hidden_size=8,
        id2label=dict(enumerate(names)),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    transformers.SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


class ColourSegmenter:
    """Knows classes by their colours in the palette; pictures are ``side`` pixels wide and high to it."""

    def __init__(self, labels: LabelSet, side: int = 128) -> None:
        self.palette = torch.tensor(labels.palette, dtype=torch.float32)
        self.processor = SimpleNamespace(size={"height": side, "width": side})
        self.seen: list[torch.Tensor] = []

    def probabilities(self, pictures: torch.Tensor) -> torch.Tensor:
        self.seen.append(pictures)
        far = (pictures.float().movedim(1, -1)[..., None, :] - self.palette).abs().sum(-1)
        return (-far / 4).softmax(-1).movedim(-1, 1)


def colour_parser(labels: LabelSet) -> tuple[PhotoParser, ColourSegmenter]:
    """A parser for photos that are painted in the palette's colours, and its network."""
    segmenter = ColourSegmenter(labels)
    return PhotoParser("colours", loaded={labels: segmenter}), segmenter
