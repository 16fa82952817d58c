"""All systems of the paper's Tables 1 to 3 by name: their configurations at any width, and how a saved one is loaded.

One ``width`` sets them all: it is that of GroupDNet's last block (160 in the paper), and every other system gets the
width at which its number of parameters stands to GroupDNet's as in Table 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch

from groupdnet_hub.baselines.base import BaselineSystem
from groupdnet_hub.baselines.bicyclegan import BicycleGAN, BicycleGANConfig
from groupdnet_hub.baselines.config import BaselineConfig
from groupdnet_hub.baselines.dscgan import DSCGAN, DSCGANConfig
from groupdnet_hub.baselines.pix2pixhd import Pix2PixHD, Pix2PixHDConfig
from groupdnet_hub.baselines.spade import SPADE, SPADEConfig, ordinary_decoder
from groupdnet_hub.config.decoder_layout import class_slots_for
from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.config.presets import preset_fields
from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.hub.files import CONFIG_FILE, find_config
from groupdnet_hub.hub.options import LOAD_OPTIONS, HubOptions, known_options
from groupdnet_hub.io.strict_json import parse_json, read_short_text, shown
from groupdnet_hub.models.groupdnet import GroupDNet

if TYPE_CHECKING:
    from typing_extensions import Unpack  # of typing only from Python 3.11 on

SystemConfig = GroupDNetConfig | BaselineConfig
System = GroupDNet | BaselineSystem

PAPER_WIDTH = 160
_FUSION_LAYERS = 3
_CLASSES: dict[str | None, type[GroupDNet] | type[BaselineSystem]] = {
    None: GroupDNet,
    "SPADE": SPADE,
    "pix2pixHD": Pix2PixHD,
    "BicycleGAN": BicycleGAN,
    "DSCGAN": DSCGAN,
}


class _Maker(Protocol):
    def __call__(
        self, labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any
    ) -> SystemConfig: ...


@dataclass(frozen=True)
class SystemSpec:
    """How a system of the paper is built and trained.

    Attributes:
        make: (labels, image_size, width, **fields) -> its configuration.
        objective: the name of its training objective: ``hinge`` (section 3.5), ``pix2pixhd``, ``bicyclegan`` or
            ``dscgan``.
        ablation: how Table 3 calls it; empty for the systems of Tables 1 and 2.
        synchronised: whether its batch normalisation measures the batches of all processes.
    """

    make: _Maker
    objective: str = "hinge"
    ablation: str = ""
    synchronised: bool = True


def _scaled(width: int, at_paper_width: int) -> int:
    return max(1, round(width * at_paper_width / PAPER_WIDTH))


def _groupdnet(labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any) -> SystemConfig:
    return GroupDNetConfig.for_labels(labels, image_size, width, **fields)


def _groupnet(labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any) -> SystemConfig:
    """Configure one group per class in every layer, then the fusing module (Fig. 3b)."""
    return _all_grouped(labels, image_size, _scaled(width, 188), **fields)


def _mulnet(labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any) -> SystemConfig:
    """Configure GroupNet, wider, with separate networks (Fig. 3a)."""
    return _all_grouped(labels, image_size, _scaled(width, 196), separate_networks=True, **fields)


def _all_grouped(labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any) -> GroupDNetConfig:
    slots, _ = class_slots_for(len(labels))
    halvings = (min(image_size) // 4).bit_length() - 1
    fields = {"groups": [slots] * (halvings + 1), "fusion_layers": _FUSION_LAYERS, **fields}
    return GroupDNetConfig.for_labels(labels, image_size, width, **fields)


def _groupenc(labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any) -> SystemConfig:
    """Configure GroupDNet's encoder, and SPADE's decoder behind its maps."""
    grouped = GroupDNetConfig.for_labels(labels, image_size, width)
    fields = {"encoder_width": grouped.encoder_width} | fields
    return ordinary_decoder(labels, image_size, _scaled(width, 64), **fields)


def _groupdec(labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any) -> SystemConfig:
    """Configure an ordinary encoder of the whole picture, and GroupDNet's decoder."""
    fields = {"split_mode": "none", "encoder_width": _scaled(width, 96), **fields}
    return GroupDNetConfig.for_labels(labels, image_size, width, encoder_grouped=False, **fields)


def _spade(labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any) -> SystemConfig:
    own = _scaled(width, 64)
    fields = {"encoder_width": own} | fields
    return SPADEConfig(labels.names, labels.palette, image_size, own, **fields)


def _vspade(labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any) -> SystemConfig:
    fields = {"latent_channels": _scaled(width, 256)} | fields
    return _spade(labels, image_size, width, variational=True, **fields)


def _pix2pixhd(labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any) -> SystemConfig:
    return Pix2PixHDConfig(labels.names, labels.palette, image_size, _scaled(width, 64), **fields)


def _bicyclegan(labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any) -> SystemConfig:
    own = _scaled(width, 64)
    return BicycleGANConfig(labels.names, labels.palette, image_size, own, **{"encoder_width": own} | fields)


def _dscgan(labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any) -> SystemConfig:
    # Without BicycleGAN's encoder: a little wider, so that Table 1's number of parameters is met.
    return DSCGANConfig(labels.names, labels.palette, image_size, _scaled(width, 66), **fields)


def _ablated(**ablation: Any) -> Callable[..., SystemConfig]:
    def make(labels: LabelSet, image_size: tuple[int, int], width: int, **fields: Any) -> SystemConfig:
        return GroupDNetConfig.for_labels(labels, image_size, width, **ablation | fields)

    return make


SYSTEMS: Mapping[str, SystemSpec] = {
    "GroupDNet": SystemSpec(_groupdnet),
    "MulNet": SystemSpec(_mulnet),
    "GroupNet": SystemSpec(_groupnet),
    "GroupEnc": SystemSpec(_groupenc),
    "GroupDec": SystemSpec(_groupdec),
    "VSPADE": SystemSpec(_vspade),
    "SPADE": SystemSpec(_spade),
    "pix2pixHD": SystemSpec(_pix2pixhd, "pix2pixhd"),
    "BicycleGAN": SystemSpec(_bicyclegan, "bicyclegan"),
    "DSCGAN": SystemSpec(_dscgan, "dscgan"),
    "GroupDNet-without-map": SystemSpec(_ablated(latent_mode="vector"), ablation="w/o map"),
    "GroupDNet-without-split": SystemSpec(_ablated(split_mode="none"), ablation="w/o split"),
    "GroupDNet-with-GroupNorm": SystemSpec(_ablated(norm_kind="group"), ablation="→ GroupNorm"),
    "GroupDNet-without-SyncBN": SystemSpec(_groupdnet, ablation="w/o SyncBN", synchronised=False),
    "GroupDNet-without-SpecNorm": SystemSpec(_ablated(spectral_norm=False), ablation="w/o SpecNorm"),
}


def system_config(
    name: str, labels: LabelSet, image_size: tuple[int, int] = (256, 256), width: int = 48, **fields: Any
) -> SystemConfig:
    """Return the configuration of a system of the paper for any label set.

    Args:
        name: one of ``SYSTEMS``.
        labels: names and colours of the classes.
        image_size: (height, width) of the pictures.
        width: channels of GroupDNet's last block, which sets the widths of all systems (160 in the paper).
        fields: other fields of the system's configuration.

    Raises:
        ValueError: for an unknown name, a field that the system does not have, or what cannot work.
    """
    if name not in SYSTEMS:
        raise ValueError(f"unknown system {name!r}: the systems are {', '.join(SYSTEMS)}")
    if type(width) is not int or width < 1:
        raise ValueError(f"width is {width!r}; it must be a whole number of at least 1")
    try:
        return SYSTEMS[name].make(labels, image_size, width, **fields)
    except TypeError as error:
        raise ValueError(f"{name} cannot be configured so: {error}") from None


def system_preset(name: str, preset: str, **fields: Any) -> SystemConfig:
    """Return a system at the paper's full width for the labels and size of a preset of Table 4.

    GroupDNet and its ablations are exactly the preset's network; see :func:`system_config`.
    """
    values = preset_fields(preset)
    labels = LabelSet(values["class_names"], values["palette"])
    edges = {"instance_edges": values.get("instance_edges", False)}
    config = system_config(name, labels, values["image_size"], PAPER_WIDTH, **edges | fields)
    if name == "GroupDNet" or SYSTEMS[name].ablation:
        assert isinstance(config, GroupDNetConfig)
        kept = {
            key: getattr(config, key)
            for key in ("latent_mode", "split_mode", "norm_kind", "spectral_norm", "code_grid")
        }
        return GroupDNetConfig.preset(preset).replace(**kept | fields)
    return config


def build_system(config: SystemConfig, *, generator: torch.Generator | None = None) -> System:
    """Return an untrained system; ``generator`` draws its weights."""
    make = cast(Callable[..., System], _CLASSES[config.system_key])
    return make(config, generator=generator)


def system_from_json(text: str) -> SystemConfig:
    """Return the configuration in a ``config.json`` of any system.

    Raises:
        ValueError: for text that is none.
    """
    return cast(SystemConfig, _class_of(text).config_class.from_json(text))


def system_from_file(path: str | os.PathLike[str]) -> SystemConfig:
    """Read a ``config.json`` by :func:`system_from_json`.

    Raises:
        ValueError: as :func:`system_from_json`, and for a file longer than 4 MiB or not UTF-8.
        OSError: for a file that cannot be read.
    """
    return system_from_json(read_short_text(path, "the configuration"))


def saved_config(path_or_id: str | os.PathLike[str], **options: Unpack[HubOptions]) -> SystemConfig:
    """Return the configuration of a system that was saved in a folder or on the Hub, without its weights.

    Raises:
        ValueError: for an invalid configuration.
        OSError: if there is none, or it cannot be read.
    """
    try:
        return system_from_file(find_config(path_or_id, **options))
    except ValueError as error:
        raise ValueError(f"{CONFIG_FILE} of {path_or_id}: {error}") from None


def load_system(path_or_id: str | os.PathLike[str], **options: Any) -> System:
    """Load whatever system was saved in a folder or on the Hub, in evaluation mode.

    Args:
        path_or_id: a folder, or a Hub id ``user/name``.
        options: those of ``GroupDNet.from_pretrained``: dtype, device, variant, limits, subfolder, revision,
            cache_dir, token, local_files_only, force_download.

    Raises:
        ValueError: and other errors, as ``GroupDNet.from_pretrained``.
    """
    options = known_options(options, LOAD_OPTIONS)
    of_hub: Any = {key: value for key, value in options.items() if key in HubOptions.__annotations__}
    path = find_config(path_or_id, **of_hub)
    try:
        found = _class_of(read_short_text(path, "the configuration"))
    except ValueError as error:
        raise ValueError(f"{CONFIG_FILE} of {path_or_id}: {error}") from None
    return found.from_pretrained(path_or_id, **options)


def _class_of(text: str) -> type[GroupDNet] | type[BaselineSystem]:
    values = parse_json(text, "the configuration")
    system = values.get("system") if isinstance(values, dict) else None
    if not isinstance(system, str | None) or system not in _CLASSES:
        names = ", ".join(str(name) for name in _CLASSES if name)
        raise ValueError(
            f"its system is {shown(system)}; this version of groupdnet_hub knows GroupDNet, {names}"
        )
    return _CLASSES[system]
