"""Which figure of several pictures a metric's name stands for."""

from __future__ import annotations

import argparse
from typing import Any

from evaluate_inputs import Inputs
from evaluate_networks import Networks
from sampled_arguments import training_split
from sampled_kid import KidPart
from sampled_parts import SampledPart
from shares import model_digest
from training_photos import TrainingPhotos


def sampled_part(name: str, args: argparse.Namespace, inputs: Inputs, networks: Networks) -> SampledPart:
    """The part of one of ``SAMPLED_METRICS``, with what it needs loaded.

    Raises:
        ValueError: for weights or training photos that cannot be read.
    """
    settings: dict[str, Any] = {"num_images": args.num_images, **inputs.judging_settings()}
    network = networks.inception if name == "kid_inception" else networks.trunk
    settings |= {"kid_seeds": args.kid_seeds, "network": model_digest(network)}
    photos, split = None, training_split(args)
    if (split / "metadata.jsonl").is_file():
        count = len(inputs.spread(args.num_images))
        photos = TrainingPhotos(split, inputs, args.name_suffix, count)
    return KidPart(network, args.kid_seeds, settings, photos)
