"""GroupDNet: semantically multi-modal image synthesis, with one latent code for each class of a label map."""

from groupdnet_hub.baselines import load_system
from groupdnet_hub.codes import AppearanceCodes
from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.config.limits import CostLimits
from groupdnet_hub.config.presets import PRESETS
from groupdnet_hub.convert.growth import grow
from groupdnet_hub.convert.transfer import transfer_classes
from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.paired import PairedImages
from groupdnet_hub.data.streamed import StreamedImages
from groupdnet_hub.look import Look, Looks
from groupdnet_hub.models.groupdnet import GroupDNet
from groupdnet_hub.pipeline import GroupDNetPipeline

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "AppearanceCodes",
    "CostLimits",
    "GroupDNet",
    "GroupDNetConfig",
    "GroupDNetPipeline",
    "LabelSet",
    "Look",
    "Looks",
    "PairedImages",
    "StreamedImages",
    "__version__",
    "grow",
    "load_system",
    "transfer_classes",
]
