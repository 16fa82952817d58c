"""The paper's metrics (section 4.3): diversity by class, Frechet distance, segmentation scores, cost.

What they are computed from is passed in: a system (:class:`groupdnet_hub.ImageSynthesisSystem`), a distance, features,
predictions. Every meter has ``update``, ``merge`` (for shards on several processes) and ``result``.
"""

from groupdnet_hub.metrics.cost import count_macs, count_parameters, frames_per_second
from groupdnet_hub.metrics.diversity import (
    ClassDiversity,
    ClassDiversityMeter,
    ImageDiversity,
    ImageDiversityMeter,
    Reading,
    Redrawing,
    SpatialDistance,
    measure_classes,
    measure_image,
)
from groupdnet_hub.metrics.estimates import Estimate
from groupdnet_hub.metrics.features import FEATURE_NETS, InceptionFeatures, TrunkFeatures, eight_bit
from groupdnet_hub.metrics.frechet import FeatureStatistics, frechet_distance
from groupdnet_hub.metrics.kernel_distance import KernelDistance, kernel_distance
from groupdnet_hub.metrics.lpips_distance import alexnet_lpips
from groupdnet_hub.metrics.segmentation import SegmentationMeter, SegmentationScores
from groupdnet_hub.metrics.segmenter import LabelTable, Segmenter

__all__ = [
    "FEATURE_NETS",
    "ClassDiversity",
    "ClassDiversityMeter",
    "Estimate",
    "FeatureStatistics",
    "ImageDiversity",
    "ImageDiversityMeter",
    "InceptionFeatures",
    "KernelDistance",
    "LabelTable",
    "Reading",
    "Redrawing",
    "SegmentationMeter",
    "SegmentationScores",
    "Segmenter",
    "SpatialDistance",
    "TrunkFeatures",
    "alexnet_lpips",
    "count_macs",
    "count_parameters",
    "eight_bit",
    "frames_per_second",
    "frechet_distance",
    "kernel_distance",
    "measure_classes",
    "measure_image",
]
