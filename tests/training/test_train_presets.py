"""The networks of the three presets, at small widths, trained for a few steps on real photos."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, LabelSet, PairedImages
from groupdnet_hub.config.decoder_layout import (
    BlockConfig,
    encoder_multipliers,
    modulation_like_ade20k,
    modulation_like_cityscapes,
    modulation_like_deepfashion,
)
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.training.objectives.losses import PerceptualLoss
from tests.helpers.shared_data import shared_folder
from tests.helpers.train_runs import train

pytest.importorskip("accelerate")
ITEMS = 8


@pytest.fixture(autouse=True)
def _global_random_state_stays() -> None:
    """Making a torchvision trunk draws from the global generator."""


def some_of(name: str, folder: Path, items: int = ITEMS, *, instances: bool = False) -> LabelSet:
    """The first pairs of a data set as a data set of its own; instance maps are the connected regions."""
    source = shared_folder(f"data/{name}") / "train"
    labels = read_label_set(source.parent)
    lines = []
    for line in (source / "metadata.jsonl").read_text(encoding="utf-8").splitlines()[:items]:
        entry = json.loads(line)
        names = {key: entry[key] for key in ("file_name", "label_file_name")}
        for file in names.values():
            (folder / "train" / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / file, folder / "train" / file)
        if instances:
            names["instance_file_name"] = f"instances/{Path(entry['label_file_name']).name}"
            target = folder / "train" / names["instance_file_name"]
            target.parent.mkdir(exist_ok=True)
            ids = connected_regions(np.asarray(Image.open(source / entry["label_file_name"])))
            Image.fromarray(ids.astype(np.uint16)).save(target)
        lines.append(json.dumps(names))
    (folder / "train" / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    labels.to_file(folder / "classes.json")
    return labels


def connected_regions(label: np.ndarray) -> np.ndarray:
    """A number for each connected region of one class."""
    ndimage = pytest.importorskip("scipy.ndimage")
    ids, count = np.zeros(label.shape, dtype=np.int64), 0
    for class_ in np.unique(label):
        regions, found = ndimage.label(label == class_)
        ids[regions > 0] = regions[regions > 0] + count
        count += found
    return ids


def network(
    labels: LabelSet,
    size: tuple[int, int],
    blocks: Sequence[BlockConfig],
    each: int,
    encoder_each: int,
    **fields: Any,
) -> GroupDNetConfig:
    """A network with ``each`` channels of ``fc``, and ``encoder_each`` of the encoder, for a class."""
    return GroupDNetConfig(
        class_names=labels.names,
        palette=labels.palette,
        image_size=size,
        blocks=tuple(blocks),
        fc_channels=each * len(labels),
        encoder_width=encoder_each * len(labels),
        encoder_multipliers=encoder_multipliers(len(blocks) - 1),
        class_slots=len(labels),
        discriminator_width=8,
        **fields,
    )


def like_deepfashion(labels: LabelSet) -> GroupDNetConfig:
    blocks = modulation_like_deepfashion((64, 64, 32, 32, 16, 8), (8, 8, 4, 4, 2, 1), 32)
    return network(labels, (64, 64), blocks, 8, 4)


def like_cityscapes(labels: LabelSet) -> GroupDNetConfig:
    """Groups that hold parts of classes, one modulation group for each class, and instance edges."""
    blocks = modulation_like_cityscapes((96, 96, 96, 48, 24, 12), (12, 12, 8, 6, 4, 1), 12)
    return network(labels, (64, 128), blocks, 8, 4, instance_edges=True)


def like_ade20k(labels: LabelSet) -> GroupDNetConfig:
    """Groups that hold parts of classes, and hidden layers of two widths."""
    blocks = modulation_like_ade20k((1040, 128, 64, 32, 16, 8), (130, 16, 8, 4, 2, 1), 130)
    return network(labels, (64, 64), blocks, 8, 2)


@pytest.mark.parametrize(
    ("data", "make"),
    [("fashion8", like_deepfashion), ("camvid", like_cityscapes), ("coco130", like_ade20k)],
)
def test_each_preset_trains_on_real_photos(data: str, make: Any, tmp_path: Path) -> None:
    folder, output = tmp_path / "data", tmp_path / "run"
    labels = some_of(data, folder, instances=data == "camvid")
    config = make(labels)
    (tmp_path / "config.json").write_text(config.to_json())
    flags = ["--config", str(tmp_path / "config.json"), "--perceptual_net", "none", "--random_flip"]
    # A loss that is not finite ends the run, at any step that is logged.
    train(folder, output, *flags, "--max_train_steps", "3", "--logging_steps", "1")

    start = dict(GroupDNet(config, generator=torch.Generator().manual_seed(0)).named_parameters())
    trained = load_file(output / "model" / "model.safetensors")
    assert all(torch.isfinite(value).all() for value in trained.values())
    still = [name for name, value in start.items() if torch.equal(trained[name], value)]
    assert still == []
    pipeline = GroupDNetPipeline.from_pretrained(output / "model")
    item = PairedImages.from_folder(folder, config.image_size)[0]
    instance = item["instance"].numpy() if config.instance_edges else None
    look = pipeline.sample(item["label"].numpy(), seed=0, instance=instance)
    assert look.image.size == config.image_size[::-1]
    assert np.asarray(look.image).std() > 0
    assert np.asarray(Image.open(output / "samples" / "0000003.png")).std() > 10


def perceptual_loss(model: GroupDNet, data: PairedImages, loss: PerceptualLoss) -> float:
    """The loss of the reconstructions, with the batch norms of training."""
    batch = torch.utils.data.default_collate([data[i] for i in range(len(data))])
    noise = torch.zeros(len(data), *model.config.code_shape)
    with torch.no_grad():
        picture, _ = model.train()(batch["image"], batch["label"], noise=noise)
        return float(loss(picture, batch["image"]))


@pytest.mark.slow
def test_a_short_run_overfits_a_few_photos(tmp_path: Path) -> None:
    """300 steps on 64 photos halve the perceptual loss of VGG16."""
    weights = shared_folder("weights") / "vgg16_features.safetensors"
    folder = tmp_path / "data"
    labels = some_of("fashion8", folder, 64)
    flags = ["--width", "8", "--train_batch_size", "8", "--max_train_steps", "300", "--lr_decay_start", "1"]
    flags += ["--learning_rate", "1e-3", "--kl_weight", "0.004", "--logging_steps", "50"]
    flags += ["--perceptual_net", "vgg16", "--perceptual_weights", str(weights)]
    train(folder, tmp_path / "run", *flags)
    data = PairedImages.from_folder(folder, (32, 32))
    loss = PerceptualLoss("vgg16", weights)
    config = GroupDNetConfig.for_labels(labels, (32, 32), 8)
    start = perceptual_loss(GroupDNet(config, generator=torch.Generator().manual_seed(0)), data, loss)
    end = perceptual_loss(GroupDNet.from_pretrained(tmp_path / "run" / "model"), data, loss)
    print(f"perceptual loss {start:.3f} -> {end:.3f}")
    assert end < 0.5 * start
