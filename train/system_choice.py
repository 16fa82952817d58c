"""Which system a run trains, and to do what: from the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from argument_checks import neighbours
from class_exchange import ClassExchange
from class_likeness import likeness_order
from label_mix import LabelMix
from loss_weights import RATES, LossWeights
from objectives import Augment, Crops, MultiScaleObjective, Objective
from objectives_latent import BicycleObjective, DiversityObjective
from objectives_segmentation import SegmentationObjective

from groupdnet_hub import (
    GroupDNet,
    GroupDNetConfig,
    LabelSet,
    PairedImages,
    PerceptualLoss,
    TransferReport,
    grow,
    load_system,
    transfer_classes,
)
from groupdnet_hub.baselines import (
    SYSTEMS,
    System,
    SystemConfig,
    build_system,
    system_config,
    system_from_json,
    system_preset,
)

# Devices over which the paper's unsynchronised batch norms were spread (section 4.1).
_PAPER_DEVICES = 4
_LABELMIX_WEIGHT = 10.0
# About as many parameters each.
_DISCRIMINATOR_WIDTHS = {"multiscale": 64, "segmentation": 32}


def build_model(args: argparse.Namespace, labels: LabelSet) -> tuple[System, TransferReport | None]:
    """The model to train: a pretrained one, a configuration, a preset, or a new one for the label set.

    Returns:
        (model, what was carried over from a pretrained model of other classes).

    Raises:
        ValueError: if the model does not fit the classes of the data.
    """
    generator = torch.Generator().manual_seed(args.seed)
    if args.pretrained_model_name_or_path:
        model = load_system(args.pretrained_model_name_or_path)
        model = _with_discriminator(model, _discriminator_fields(args, model.config.discriminator))
        if args.grow:
            if not isinstance(model, GroupDNet):
                raise ValueError(f"--grow makes a larger GroupDNet: this is a {model.config.system_name}")
            model = grow(model, generator=generator)
        if model.labels.names == labels.names and not args.init_class:
            return model, None
        if not isinstance(model, GroupDNet):
            raise ValueError(
                f"this {model.config.system_name} was made for other classes than the data has: only a GroupDNet "
                "can be trained on for other classes"
            )
        return transfer_classes(model, labels, init_from=neighbours(args.init_class), generator=generator)
    if args.config:
        config = system_from_json(Path(args.config).read_text(encoding="utf-8"))
        config = config.replace(**_discriminator_fields(args, config.discriminator))
    else:
        fields = _fields(args, labels)
        config = (
            system_preset(args.model, args.preset, **fields)
            if args.preset
            else system_config(args.model, labels, args.resolution, args.width, **fields)
        )
    if config.num_classes != len(labels.names):
        raise ValueError(f"the network has {config.num_classes} classes and the data {len(labels.names)}")
    config = config.replace(class_names=labels.names, palette=labels.palette)
    return build_system(config, generator=generator), None


def _with_discriminator(model: System, fields: dict[str, Any]) -> System:
    """The same model with another discriminator, which starts fresh in any case."""
    if not fields:
        return model
    new = build_system(model.config.replace(**fields))
    new.load_state_dict(model.state_dict())
    new.card_facts = model.card_facts
    return new.train(model.training)


def _discriminator_fields(args: argparse.Namespace, before: str) -> dict[str, Any]:
    """Fields of the configuration that the command line gives a discriminator, which was of the kind ``before``."""
    fields: dict[str, Any] = {}
    if args.discriminator not in (None, before):
        fields["discriminator"] = args.discriminator
        fields["discriminator_width"] = _DISCRIMINATOR_WIDTHS[args.discriminator]
    if args.discriminator_width is not None:
        fields["discriminator_width"] = args.discriminator_width
    return fields


def _fields(args: argparse.Namespace, labels: LabelSet) -> dict[str, Any]:
    """Fields of the configuration that the command line names."""
    names = ("encoder_width", "groups")
    fields = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    fields |= _discriminator_fields(args, "multiscale")
    if args.class_order == "likeness":
        data = PairedImages.from_folder(args.train_data_dir, args.resolution, labels=labels)
        fields["class_order"] = likeness_order(data)
    return fields


def objective_of(config: SystemConfig) -> str:
    """The name of the objective that a system is trained with.

    Raises:
        ValueError: for a per-pixel discriminator of a system that has an adversarial loss of its own.
    """
    name = "hinge" if isinstance(config, GroupDNetConfig) else SYSTEMS[config.system_name].objective
    if config.discriminator == "multiscale":
        return name
    if name != "hinge":
        raise ValueError(
            f"--discriminator {config.discriminator} does not fit a {config.system_name}, which has an adversarial "
            "loss of its own: give --discriminator multiscale"
        )
    return config.discriminator


def complete_arguments(args: argparse.Namespace, objective: str, accelerator: Accelerator) -> None:
    """Fill in what the command line leaves to the system: rates, weights, batch normalisation.

    Raises:
        ValueError: for a weight of LabelMix without a per-pixel discriminator.
    """
    rates = RATES[objective]
    for name, value in (
        ("learning_rate", rates.generator),
        ("discr_learning_rate", rates.discriminator),
        ("kl_weight", rates.kl_weight),
        ("l1_weight", rates.l1_weight),
        ("feature_matching_weight", rates.feature_matching_weight),
    ):
        if getattr(args, name) is None:
            setattr(args, name, value)
    if objective == "segmentation":
        args.discriminator = objective
        args.labelmix_weight = _LABELMIX_WEIGHT if args.labelmix_weight is None else args.labelmix_weight
    elif args.labelmix_weight is not None:
        raise ValueError(
            "--labelmix_weight has no effect: this model's discriminator is multi-scale. Leave it out, or give "
            "--discriminator segmentation"
        )
    if args.sync_batch_norm is None:
        args.sync_batch_norm = args.model is None or SYSTEMS[args.model].synchronised
    if args.batch_norm_parts is None:
        parts = max(1, _PAPER_DEVICES // accelerator.num_processes)
        args.batch_norm_parts = 1 if args.sync_batch_norm else parts


def build_objective(
    name: str,
    config: SystemConfig,
    perceptual: PerceptualLoss | None,
    augment: Augment | None,
    *,
    crops: Crops | None = None,
    exchange: ClassExchange | None = None,
    label_mix: LabelMix | None = None,
    labelmix_weight: float = _LABELMIX_WEIGHT,
    free_nats: float = 0.0,
    class_balance: float = 0.0,
) -> Objective:
    """The objective ``name`` for a system; ``label_mix`` is that of ``segmentation``.

    Raises:
        ValueError: if the objective has no use for ``class_balance``.
    """
    if class_balance and name in ("bicyclegan", "dscgan"):
        raise ValueError(f"--class_balance has no use: {name} has losses of its own")
    if name == "bicyclegan":
        return BicycleObjective(config, augment)
    if name == "dscgan":
        return DiversityObjective(config, augment)
    if name == "segmentation":
        return SegmentationObjective(
            config,
            perceptual,
            augment,
            crops,
            exchange,
            label_mix=label_mix,
            labelmix_weight=labelmix_weight,
            free_nats=free_nats,
            class_balance=class_balance,
        )
    return MultiScaleObjective(
        config,
        perceptual,
        augment,
        crops,
        exchange,
        free_nats=free_nats,
        class_balance=class_balance,
        least_squares=name == "pix2pixhd",
    )


def loss_weights(args: argparse.Namespace) -> LossWeights:
    """The weights that the command line sets."""
    return LossWeights(
        args.adversarial_weight,
        args.feature_matching_weight,
        args.perceptual_weight,
        args.kl_weight,
        args.l1_weight,
        args.latent_weight,
        args.diversity_weight,
        args.redraw_weight,
    )
