"""What a run starts from: the model, the pictures, and the few of them that are looked at."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from arguments import neighbours
from torch import Tensor

from groupdnet_hub import (
    GroupDNet,
    GroupDNetConfig,
    LabelSet,
    PairedImages,
    TransferReport,
    read_label_set,
    transfer_classes,
)

# Pictures of a sample grid.
GRID_PICTURES = 8


def build_labels(args: argparse.Namespace) -> LabelSet:
    """The label set of the data: ``--classes``, or the data folder's own."""
    return LabelSet.from_file(args.classes) if args.classes else read_label_set(args.train_data_dir)


def build_model(args: argparse.Namespace, labels: LabelSet) -> tuple[GroupDNet, TransferReport | None]:
    """The model to train: a pretrained one, a configuration, a preset, or a new schedule for the label set.

    Returns:
        (model, what was carried over from a pretrained model of other classes).

    Raises:
        ValueError: if the model does not fit the classes of the data.
    """
    if args.pretrained_model_name_or_path:
        model = GroupDNet.from_pretrained(args.pretrained_model_name_or_path)
        if model.labels.names == labels.names and not args.init_class:
            return model, None
        generator = torch.Generator().manual_seed(args.seed)
        return transfer_classes(model, labels, init_from=neighbours(args.init_class), generator=generator)
    if args.config:
        config = GroupDNetConfig.from_json(Path(args.config).read_text(encoding="utf-8"))
    elif args.preset:
        config = GroupDNetConfig.preset(args.preset)
    else:
        config = GroupDNetConfig.for_labels(
            labels, args.resolution, args.width, encoder_width=args.encoder_width
        )
    if config.num_classes != len(labels.names):
        raise ValueError(f"the network has {config.num_classes} classes and the data {len(labels.names)}")
    config = config.replace(class_names=labels.names, palette=labels.palette)
    return GroupDNet(config, generator=torch.Generator().manual_seed(args.seed)), None


def build_data(args: argparse.Namespace, labels: LabelSet, image_size: tuple[int, int]) -> PairedImages:
    """The training pictures: a folder, or a Hugging Face data set."""
    if not args.dataset_name:
        return PairedImages.from_folder(
            args.train_data_dir, image_size, labels=labels, random_flip=args.random_flip, seed=args.seed
        )
    from datasets import load_dataset

    where = {"data_dir": args.train_data_dir} if args.train_data_dir else {}
    rows = load_dataset(args.dataset_name, split="train", **where)
    return PairedImages.from_rows(
        rows,
        labels,
        image_size,
        image_column=args.image_column,
        label_column=args.label_column,
        random_flip=args.random_flip,
        seed=args.seed,
    )


def grid_batch(args: argparse.Namespace, data: PairedImages) -> dict[str, Tensor]:
    """A few pictures to look at, evenly spread over the validation split, or else over the training data."""
    folder = Path(args.train_data_dir or "")
    if args.train_data_dir and (folder / "validation" / "metadata.jsonl").is_file():
        data = PairedImages.from_folder(folder, data.image_size, split="validation", labels=data.labels)
    count = min(GRID_PICTURES, len(data))
    return torch.utils.data.default_collate([data[i * len(data) // count] for i in range(count)])
