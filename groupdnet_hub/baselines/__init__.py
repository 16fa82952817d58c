"""The systems that the paper compares GroupDNet with, behind the same interface."""

from groupdnet_hub.baselines.base import BaselineSystem
from groupdnet_hub.baselines.bicyclegan import BicycleGAN, BicycleGANConfig
from groupdnet_hub.baselines.config import BaselineConfig
from groupdnet_hub.baselines.dscgan import DSCGAN, DSCGANConfig
from groupdnet_hub.baselines.pix2pixhd import Pix2PixHD, Pix2PixHDConfig
from groupdnet_hub.baselines.registry import (
    PAPER_WIDTH,
    SYSTEMS,
    System,
    SystemConfig,
    SystemSpec,
    build_system,
    load_system,
    system_config,
    system_from_file,
    system_from_json,
    system_preset,
)
from groupdnet_hub.baselines.spade import SPADE, SPADEConfig

__all__ = [
    "DSCGAN",
    "PAPER_WIDTH",
    "SPADE",
    "SYSTEMS",
    "BaselineConfig",
    "BaselineSystem",
    "BicycleGAN",
    "BicycleGANConfig",
    "DSCGANConfig",
    "Pix2PixHD",
    "Pix2PixHDConfig",
    "SPADEConfig",
    "System",
    "SystemConfig",
    "SystemSpec",
    "build_system",
    "load_system",
    "system_config",
    "system_from_file",
    "system_from_json",
    "system_preset",
]
