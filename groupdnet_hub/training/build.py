"""Which system a run trains, and to do what: from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet, grow, load_system, transfer_classes
from groupdnet_hub.baselines import (
    SYSTEMS,
    System,
    SystemConfig,
    build_system,
    system_config,
    system_from_file,
    system_preset,
)
from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.convert.transfer import TransferReport
from groupdnet_hub.metrics.imagenet_trunks import trunk_download
from groupdnet_hub.models.fast.decoder import FastDecoder
from groupdnet_hub.models.fast.gradient_checkpointing import CheckpointedEncoder
from groupdnet_hub.training.config import ResolvedTrainConfig, TrainConfig
from groupdnet_hub.training.config.network import read_ties
from groupdnet_hub.training.fast.step_form import StepForm
from groupdnet_hub.training.network_fields import network_fields
from groupdnet_hub.training.objectives.groupdnet import MultiScaleObjective
from groupdnet_hub.training.objectives.latent import BicycleObjective, DiversityObjective
from groupdnet_hub.training.objectives.losses import PerceptualLoss
from groupdnet_hub.training.objectives.objective import Objective, ObjectiveParts
from groupdnet_hub.training.objectives.segmentation import SegmentationObjective
from groupdnet_hub.training.random_streams import Streams

Network = TypeVar("Network", bound=nn.Module)

# About as many parameters each.
_DISCRIMINATOR_WIDTHS = {"multiscale": 64, "segmentation": 32}


def build_model(settings: TrainConfig, labels: LabelSet) -> tuple[System, TransferReport | None]:
    """Return the model to train: a pretrained one, a configuration, a preset, or a new one for the label set.

    Returns:
        (model, what was carried over from a pretrained model of other classes).

    Raises:
        ValueError: if the model does not fit the classes of the data.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    if settings.pretrained_model_name_or_path:
        model = load_system(settings.pretrained_model_name_or_path, token=settings.hub_token)
        model = _with_fields(model, _discriminator_fields(settings, model.config.discriminator))
        if settings.grow:
            if not isinstance(model, GroupDNet):
                raise ValueError(f"--grow makes a larger GroupDNet: this is a {model.config.system_name}")
            model = grow(model, generator=generator)
        labels = _with_ignored(labels, model.config.ignore)
        if model.labels.names == labels.names and not settings.init_class:
            return _with_fields(model, {"ignore": labels.ignore}), None
        if not isinstance(model, GroupDNet):
            raise ValueError(
                f"this {model.config.system_name} was made for other classes than the data has: only a GroupDNet "
                "can be trained on for other classes"
            )
        return transfer_classes(model, labels, init_from=settings.class_starts, generator=generator)
    if settings.config:
        config = system_from_file(settings.config)
        config = config.replace(**_discriminator_fields(settings, config.discriminator))
    else:
        width = {} if settings.width is None else {"width": settings.width}
        fields = network_fields(settings, labels) | _discriminator_fields(settings, "multiscale")
        config = (
            system_preset(settings.system, settings.preset, **fields)
            if settings.preset
            else system_config(settings.system, labels, settings.image_size, **width, **fields)
        )
    if config.num_classes != len(labels.names):
        raise ValueError(f"the network has {config.num_classes} classes and the data {len(labels.names)}")
    ignore = _with_ignored(labels, config.ignore).ignore
    config = config.replace(class_names=labels.names, palette=labels.palette, ignore=ignore)
    return build_system(config, generator=generator), None


def with_asked_prior(settings: TrainConfig, model: System) -> System:
    """Return the model with the prior that the settings name, not fitted yet; what they do not name stays.

    Raises:
        ValueError: for a system without per-class codes, and for a prior that cannot be.
    """
    asked = [n for n in ("prior_rank", "prior_codes", "prior_ties") if getattr(settings, n) is not None]
    if not asked:
        return model
    if not isinstance(model, GroupDNet):
        raise ValueError(f"--{asked[0]} has no effect: a {model.config.system_name} has no per-class codes")
    rank, codes = settings.prior_rank, settings.prior_codes
    if rank is None and codes is None:
        rank, codes = model.config.prior_rank, model.config.prior_codes
    return model.with_prior(rank=rank or 0, codes=codes or 0, ties=read_ties(settings.prior_ties))


def enable_gradient_checkpointing(model: System) -> None:
    """Have a model's blocks compute again what their gradients need.

    See :mod:`groupdnet_hub.models.fast.gradient_checkpointing`.

    Raises:
        ValueError: for a system without such blocks.
    """
    networks = [one for one in model.modules() if isinstance(one, CheckpointedEncoder | FastDecoder)]
    if not networks:
        raise ValueError(
            f"--gradient_checkpointing has no effect: a {model.config.system_name} has no blocks that could compute "
            "anything again"
        )
    for network in networks:
        network.gradient_checkpointing = True


def _with_ignored(labels: LabelSet, before: Sequence[Ignored]) -> LabelSet:
    """Return the data's label set, which ignores what a network's did before too, but for classes of the data."""
    kept = (v for v in before if (v >= len(labels) if isinstance(v, int) else v not in labels.palette))
    return replace(labels, ignore=(*labels.ignore, *kept))


def _with_fields(model: System, fields: dict[str, Any]) -> System:
    """Return the same model with other values of fields that its weights do not depend on."""
    if all(getattr(model.config, name) == value for name, value in fields.items()):
        return model
    new = build_system(model.config.replace(**fields))
    new.load_state_dict(model.state_dict())
    new.card_facts = model.card_facts
    return new.train(model.training)


def _discriminator_fields(settings: TrainConfig, before: str) -> dict[str, Any]:
    """Return the configuration's fields that the settings give a discriminator, which was of the kind ``before``.

    Raises:
        ValueError: for a norm of a discriminator that has none.
    """
    if settings.discriminator_norm is not None and (settings.discriminator or before) == "segmentation":
        raise ValueError("--discriminator_norm has no effect: a per-pixel discriminator has no instance norm")
    fields: dict[str, Any] = {}
    if settings.discriminator is not None and settings.discriminator != before:
        fields["discriminator"] = settings.discriminator
        fields["discriminator_width"] = _DISCRIMINATOR_WIDTHS[settings.discriminator]
    if settings.discriminator_width is not None:
        fields["discriminator_width"] = settings.discriminator_width
    if settings.discriminator_norm is not None:
        fields["discriminator_norm"] = settings.discriminator_norm
    return fields


def objective_of(config: SystemConfig) -> str:
    """Return the name of the objective that a system is trained with.

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


def build_objective(name: str, config: SystemConfig, parts: ObjectiveParts) -> Objective:
    """Return the objective ``name`` for a system.

    Raises:
        ValueError: if ``class_balance`` or ``windows`` of the parts have no effect on it.
    """
    if name in ("bicyclegan", "dscgan"):
        if parts.class_balance or parts.windows is not None:
            flag = "--class_balance" if parts.class_balance else "--discriminator_crop"
            raise ValueError(f"{flag} has no effect: {name} has losses of its own")
        latent = BicycleObjective if name == "bicyclegan" else DiversityObjective
        return latent(config, parts)
    if name == "segmentation":
        return SegmentationObjective(config, parts)
    return MultiScaleObjective(config, parts, least_squares=name == "pix2pixhd")


def check_perceptual_download(net: str, weights: str | Path | None) -> None:
    """Refuse a perceptual net whose weights would be downloaded and are out of reach.

    Args:
        net: ``--perceptual_net``.
        weights: ``--perceptual_weights``.

    Raises:
        ValueError: naming the flag of a local file.
    """
    if net != "none" and weights is None:
        trunk_download(net, "--perceptual_weights").check()


def build_parts(
    settings: ResolvedTrainConfig, streams: Streams, form: StepForm, device: torch.device
) -> ObjectiveParts:
    """Return what the settings have losses made with, the perceptual net on its device."""
    perceptual = None
    if settings.perceptual_net != "none":
        perceptual = PerceptualLoss(
            settings.perceptual_net, settings.perceptual_weights, normalise=settings.perceptual_normalise
        )
        on_device(perceptual, device).trunk.to(form.dtype)
    return ObjectiveParts(
        perceptual=perceptual,
        augment=streams.augmentation,
        crops=streams.crops,
        windows=streams.windows,
        exchange=streams.exchange,
        redraw_windows=streams.redraw_windows,
        label_mix=streams.label_mix,
        labelmix_weight=settings.labelmix_weight or 0.0,
        free_nats=settings.kl_free_nats,
        class_balance=settings.class_balance,
        one_batch=form.dense,
    )


def on_device(network: Network, device: torch.device) -> Network:
    """Return the network on a device, its 4-d weights channels last, as convolutions read them fastest."""
    return network.to(device).to(memory_format=torch.channels_last)
