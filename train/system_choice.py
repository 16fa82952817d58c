"""Which system a run trains, and to do what: from the command line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from argument_checks import neighbours
from checked_flags import read_ties
from class_exchange import ClassExchange, Exchange
from code_memory import CodeMemory
from network_arguments import check_existing, network_fields
from objectives import RATES, Augment, Crops, LossWeights, MultiScaleObjective, Objective
from objectives_latent import BicycleObjective, DiversityObjective
from steps import kl_weight_at, risen_share

from groupdnet_hub import (
    GroupDNet,
    GroupDNetConfig,
    LabelSet,
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
        check_existing(args, model.config, "--pretrained_model_name_or_path")
        model = _with_discriminator(model, _discriminator_fields(args))
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
        check_existing(args, config, "--config")
        config = config.replace(**_discriminator_fields(args))
    else:
        fields = network_fields(args, labels)
        config = (
            system_preset(args.model, args.preset, **fields)
            if args.preset
            else system_config(args.model, labels, args.resolution, args.width, **fields)
        )
    if config.num_classes != len(labels.names):
        raise ValueError(f"the network has {config.num_classes} classes and the data {len(labels.names)}")
    config = config.replace(class_names=labels.names, palette=labels.palette)
    return build_system(config, generator=generator), None


def with_asked_prior(args: argparse.Namespace, model: System) -> System:
    """The model with the prior that the command line names, not fitted yet; what it does not name stays as it was.

    Raises:
        ValueError: for a system without codes of classes, and for a prior that cannot be.
    """
    asked = [n for n in ("prior_rank", "prior_codes", "prior_ties") if getattr(args, n) is not None]
    if not asked:
        return model
    if not isinstance(model, GroupDNet):
        raise ValueError(f"--{asked[0]} has no use: a {model.config.system_name} has no codes of classes")
    rank, codes = args.prior_rank, args.prior_codes
    if rank is None and codes is None:
        rank, codes = model.config.prior_rank, model.config.prior_codes
    return model.with_prior(rank=rank or 0, codes=codes or 0, ties=read_ties(args.prior_ties))


def _discriminator_fields(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of the discriminator, as fields of the configuration."""
    names = ("discriminator_width", "discriminator_norm")
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _with_discriminator(model: System, fields: Mapping[str, Any]) -> System:
    """The same model with another discriminator, where one is named."""
    if all(getattr(model.config, name) == value for name, value in fields.items()):
        return model
    new = build_system(model.config.replace(**fields))
    new.load_state_dict(model.state_dict())
    new.card_facts = model.card_facts
    return new.train(model.training)


def objective_of(config: SystemConfig) -> str:
    """The name of the objective that a system is trained with."""
    if isinstance(config, GroupDNetConfig):
        return "hinge"
    return SYSTEMS[config.system_name].objective


def complete_arguments(args: argparse.Namespace, objective: str, accelerator: Accelerator) -> None:
    """Fill in what the command line leaves to the system: rates, weights, batch normalisation."""
    rates = RATES[objective]
    for name, value in (
        ("learning_rate", rates.generator),
        ("discr_learning_rate", rates.discriminator),
        ("kl_weight", rates.kl_weight),
        ("l1_weight", rates.l1_weight),
    ):
        if getattr(args, name) is None:
            setattr(args, name, value)
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
    exchange: Exchange | None = None,
    free_nats: float = 0.0,
    class_balance: float = 0.0,
) -> Objective:
    """The objective ``name`` for a system.

    Raises:
        ValueError: if the objective has no use for ``class_balance``.
    """
    if class_balance and name in ("bicyclegan", "dscgan"):
        raise ValueError(f"--class_balance has no use: {name} has losses of its own")
    if name == "bicyclegan":
        return BicycleObjective(config, augment)
    if name == "dscgan":
        return DiversityObjective(config, augment)
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


def build_exchange(
    args: argparse.Namespace, config: GroupDNetConfig, accelerator: Accelerator
) -> ClassExchange | CodeMemory:
    """Where the redraw loss takes other codes from: the batch itself, or ``--redraw_memory``."""
    stream = args.seed, accelerator.process_index, accelerator.num_processes
    if args.redraw_memory:
        return CodeMemory(config.code_shape, args.redraw_memory, *stream, accelerator.device)
    return ClassExchange(config.num_classes, *stream)


def loss_weights(args: argparse.Namespace, step: int) -> LossWeights:
    """The weights that the command line sets, at a step."""
    weights = LossWeights(
        args.adversarial_weight,
        args.feature_matching_weight,
        args.perceptual_weight,
        args.kl_weight,
        args.l1_weight,
        args.latent_weight,
        args.diversity_weight,
        args.redraw_weight,
    )
    share = risen_share(step, args.discriminator_warmup_steps, args.adversarial_warmup_steps)
    return replace(
        weights,
        kl=kl_weight_at(step, args.kl_weight_start, args.kl_weight, args.kl_warmup_steps),
        adversarial=weights.adversarial * share,
        feature_matching=weights.feature_matching * share,
    )
