"""A small segmentation model of transformers, saved as those of the Hub are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

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


def save_drawn_lite(folder: Path) -> Path:
    """EfficientNet-Lite0 with drawn weights, as a safetensors file with timm's names."""
    import timm
    from lite_encoder import NAME, STAGES

    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = timm.create_model(NAME, features_only=True, pretrained=False, out_indices=STAGES)
    path = folder / "lite.safetensors"
    save_file(encoder.state_dict(), path)
    return path
