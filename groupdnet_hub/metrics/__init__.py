"""The paper's metrics (section 4.3), and measures of what they miss.

The paper's are per-class diversity, Frechet distance, segmentation scores and cost.

Their inputs are arguments: a system (:class:`groupdnet_hub.models.interface.ImageSynthesisSystem`), a distance,
features, predictions. Every meter has ``update``, ``merge`` (for shards on several processes) and ``result``.

The measures of several pictures of each label map (sharpness, fixed pattern, faces, memory, tone, chroma) are two
functions each: ``measure_...`` returns a row of numbers for one label map, and ``summarise_...`` the metric over all
rows, beside its value for photos.
"""

from groupdnet_hub.metrics.colours import (
    Chroma,
    Tone,
    measure_chroma,
    measure_tone,
    summarise_chroma,
    summarise_tone,
)
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
from groupdnet_hub.metrics.faces import FaceMesh, Faces, measure_faces, summarise_faces
from groupdnet_hub.metrics.features import FEATURE_NETS, TrunkFeatures, eight_bit
from groupdnet_hub.metrics.fixed_pattern import FixedPattern, measure_pattern, summarise_pattern
from groupdnet_hub.metrics.frechet import FeatureStatistics, frechet_distance
from groupdnet_hub.metrics.inception import InceptionFeatures
from groupdnet_hub.metrics.kernel_distance import KernelDistance, kernel_distance
from groupdnet_hub.metrics.lpips import LpipsEmbedding, alexnet_lpips
from groupdnet_hub.metrics.nearest_photos import Memory, NearestPhotos, summarise_memory
from groupdnet_hub.metrics.segmentation import SegmentationMeter, SegmentationScores
from groupdnet_hub.metrics.segmenter import LabelTable, Segmenter
from groupdnet_hub.metrics.sharpness import Sharpness, measure_sharpness, summarise_sharpness

__all__ = [
    "FEATURE_NETS",
    "Chroma",
    "ClassDiversity",
    "ClassDiversityMeter",
    "Estimate",
    "FaceMesh",
    "Faces",
    "FeatureStatistics",
    "FixedPattern",
    "ImageDiversity",
    "ImageDiversityMeter",
    "InceptionFeatures",
    "KernelDistance",
    "LabelTable",
    "LpipsEmbedding",
    "Memory",
    "NearestPhotos",
    "Reading",
    "Redrawing",
    "SegmentationMeter",
    "SegmentationScores",
    "Segmenter",
    "Sharpness",
    "SpatialDistance",
    "Tone",
    "TrunkFeatures",
    "alexnet_lpips",
    "count_macs",
    "count_parameters",
    "eight_bit",
    "frames_per_second",
    "frechet_distance",
    "kernel_distance",
    "measure_chroma",
    "measure_classes",
    "measure_faces",
    "measure_image",
    "measure_pattern",
    "measure_sharpness",
    "measure_tone",
    "summarise_chroma",
    "summarise_faces",
    "summarise_memory",
    "summarise_pattern",
    "summarise_sharpness",
    "summarise_tone",
]
