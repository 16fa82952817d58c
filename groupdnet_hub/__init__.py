"""GroupDNet: semantically multi-modal image synthesis, with one latent code for each class of a label map."""

from groupdnet_hub.baselines import load_system
from groupdnet_hub.codes import AppearanceCodes
from groupdnet_hub.config import GroupDNetConfig
from groupdnet_hub.data import PairedImages, read_label_set
from groupdnet_hub.data_stream import StreamedImages
from groupdnet_hub.figure_drawing import draw_figure
from groupdnet_hub.figure_textures import FIGURE_LABELS
from groupdnet_hub.growth import grow, grown_config
from groupdnet_hub.images import photo_to_tensor, read_photo, tensor_to_picture
from groupdnet_hub.label_maps import read_instance_map, read_label_map
from groupdnet_hub.labels import (
    LabelSet,
    classes_present,
    colour_picture,
    instance_edges,
    label_picture,
    one_hot,
    resize_label_map,
    shown_classes,
)
from groupdnet_hub.look import Look
from groupdnet_hub.losses import (
    PerceptualLoss,
    class_weights,
    feature_matching_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    kl_loss,
    l1_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    picture_means,
)
from groupdnet_hub.model import GroupDNet
from groupdnet_hub.networks.discriminator import MultiScaleDiscriminator
from groupdnet_hub.networks.encoder import Gaussian
from groupdnet_hub.networks.scene import Scene
from groupdnet_hub.networks.segmentation_discriminator import SegmentationDiscriminator
from groupdnet_hub.pipeline import GroupDNetPipeline
from groupdnet_hub.presets import PRESETS
from groupdnet_hub.system import ImageSynthesisSystem
from groupdnet_hub.transfer import TransferReport, transfer_classes
from groupdnet_hub.whole_file import CannotWriteError, whole_file, whole_files, writing_to

__version__ = "0.1.0"

__all__ = [
    "FIGURE_LABELS",
    "PRESETS",
    "AppearanceCodes",
    "CannotWriteError",
    "Gaussian",
    "GroupDNet",
    "GroupDNetConfig",
    "GroupDNetPipeline",
    "ImageSynthesisSystem",
    "LabelSet",
    "Look",
    "MultiScaleDiscriminator",
    "PairedImages",
    "PerceptualLoss",
    "Scene",
    "SegmentationDiscriminator",
    "StreamedImages",
    "TransferReport",
    "class_weights",
    "classes_present",
    "colour_picture",
    "draw_figure",
    "feature_matching_loss",
    "grow",
    "grown_config",
    "hinge_discriminator_loss",
    "hinge_generator_loss",
    "instance_edges",
    "kl_loss",
    "l1_loss",
    "label_picture",
    "least_squares_discriminator_loss",
    "least_squares_generator_loss",
    "load_system",
    "one_hot",
    "photo_to_tensor",
    "picture_means",
    "read_instance_map",
    "read_label_map",
    "read_label_set",
    "read_photo",
    "resize_label_map",
    "shown_classes",
    "tensor_to_picture",
    "transfer_classes",
    "whole_file",
    "whole_files",
    "writing_to",
]
