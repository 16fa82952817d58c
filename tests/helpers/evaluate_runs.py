"""Runs of evaluate.py, as a user starts them, on a tiny model and drawn people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from tests.helpers.generate_runs import save_model
from tests.helpers.shared_data import ROOT

SCRIPT = ROOT / "train" / "evaluate.py"
IMAGES = 5
# Of their labels two are ours under another name, one is none of ours.
THEIR_LABELS = ("hat", *(f"their {name}" for name in FIGURE_LABELS.names))


def make_inputs(folder: Path) -> Path:
    """``model``, ``data`` with validation and training photos, weights of AlexNet, a segmentation model, its table."""
    save_model(folder / "model")
    write_figures(folder / "data", IMAGES, split="validation", size=(48, 48))
    write_figures(folder / "data", 4, split="train", size=(48, 48), seed=9)
    write_alexnet(folder / "alexnet.safetensors")
    write_segmenter(folder / "segmenter")
    table = {f"their {name}": name for name in FIGURE_LABELS.names[1:]}
    ignored = [FIGURE_LABELS.names[0]]
    (folder / "table.json").write_text(json.dumps({"labels": table, "ignored": ignored}))
    return folder


def write_alexnet(path: Path) -> None:
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torchvision.models.alexnet(weights=None)
    save_file({f"features.{key}": value for key, value in network.features.state_dict().items()}, path)


def write_segmenter(folder: Path, labels: tuple[str, ...] = THEIR_LABELS) -> None:
    """A segformer of a few weights, drawn, as transformers saves it."""
    import transformers

    config = transformers.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 8],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 1],
        mlp_ratios=[2, 2],
        decoder_hidden_size=8,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    transformers.SegformerImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def write_inception(path: Path) -> torch.nn.Module:
    """The network of FID with drawn weights, and a file of them: the real ones cannot be fetched everywhere."""
    from torch_fidelity import feature_extractor_inceptionv3 as library

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        patch.setattr(library, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(library.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = library.FeatureExtractorInceptionV3("drawn", ["2048"])
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return network


def flags(inputs: Path, output: Path, *more: str) -> list[str]:
    """A small evaluation with every metric but FID, whose network is large."""
    given = {
        **_common(inputs, output),
        "--segmentation_model": inputs / "segmenter",
        "--segmentation_labels": inputs / "table.json",
        "--num_samples": 3,
        "--num_pairs": 2,
        "--batch_size": 2,
        "--fps_decodes": 2,
        "--sheet_rows": 2,
        "--sheet_columns": 2,
    }
    metrics = ["--metrics", "mcsd", "mocd", "lpips", "frechet", "miou", "fps", "macs", "params"]
    return [*_listed(given), *metrics, *more]


def sampled_flags(inputs: Path, output: Path, *more: str) -> list[str]:
    """Measures of several pictures of each label map; which, ``more`` says."""
    given = {
        **_common(inputs, output),
        "--judged_size": 64,
        "--batch_size": 2,
        "--kid_seeds": 3,
        "--sheet_rows": 0,
    }
    return [*_listed(given), *more]


def _common(inputs: Path, output: Path) -> dict[str, object]:
    return {
        "--model": inputs / "model",
        "--data_dir": inputs / "data",
        "--output": output,
        "--alexnet_weights": inputs / "alexnet.safetensors",
        "--frechet_weights": inputs / "alexnet.safetensors",
        "--frechet_net": "alexnet",
    }


def _listed(given: Mapping[str, object]) -> list[str]:
    return [str(part) for pair in given.items() for part in pair]


def figures(output: Path) -> dict[str, Any]:
    """All results of a file but the time that drawing took."""
    parts = json.loads(output.read_text())["parts"]
    return {name: part["result"] for name, part in parts.items() if name != "fps"}
