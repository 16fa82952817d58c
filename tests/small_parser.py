"""A small segmentation model of transformers, saved as those of the Hub are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

NAMES = ("Background", "Hat", "Left-shoe", "Upper-clothes", "Kite")


def save_small_parser(folder: Path) -> Path:
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
        id2label=dict(enumerate(NAMES)),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    transformers.SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder
