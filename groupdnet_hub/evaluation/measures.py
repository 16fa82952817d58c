"""The measurements, sharded over processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn

from groupdnet_hub.evaluation.feature_distances import FeatureDistances, small_sample_note
from groupdnet_hub.evaluation.inputs import Inputs
from groupdnet_hub.evaluation.results import ResultsFile
from groupdnet_hub.metrics import (
    LabelTable,
    Redrawing,
    SegmentationMeter,
    Segmenter,
    eight_bit,
    frames_per_second,
)
from groupdnet_hub.runs.measuring.items import compared
from groupdnet_hub.runs.sharding import run_sharded


@torch.inference_mode()
def measure_rows(
    inputs: Inputs,
    accelerator: Accelerator,
    results: ResultsFile,
    part: str,
    indices: Sequence[int],
    measure: Callable[[Redrawing], np.ndarray],
) -> dict[int, np.ndarray]:
    """Measure the items that an earlier run has not measured.

    Args:
        inputs: what is measured.
        accelerator: accelerator of the run.
        results: file of the rows.
        part: name of the part.
        indices: items to measure.
        measure: function of an item's redrawing that returns its row.

    Returns:
        The rows of all items on the main process; none on the others.
    """
    missing: list[Any] = [None]
    if accelerator.is_main_process:
        done = results.rows(part)
        missing = [[index for index in indices if index not in done]]
    broadcast_object_list(missing)  # a row that a faster process writes meanwhile must not change the shards

    def measure_one(position: int) -> None:
        index = missing[0][position]
        results.write_row(part, index, measure(inputs.redrawing(index)))

    run_sharded(len(missing[0]), measure_one, accelerator, part)
    return results.rows(part) if accelerator.is_main_process else {}


@torch.inference_mode()
def measure_pictures(
    inputs: Inputs,
    accelerator: Accelerator,
    indices: Sequence[int],
    networks: Mapping[str, nn.Module],
    segmenter: tuple[Segmenter, LabelTable] | None,
) -> dict[str, Any]:
    """Draw one picture for each item; compare all with the photos, and each with its label map.

    At unknown pixels photos and pictures are grey before they are compared. The segmentation model sees them as they
    are, because grey parts would mislead it, and its answer there counts in no score. Frechet distances of fewer than
    2,048 pictures come with a warning.

    Args:
        inputs: what is measured.
        accelerator: accelerator of the run.
        indices: items to draw.
        networks: ``InceptionFeatures`` or ``TrunkFeatures`` by name of their part.
        segmenter: segmentation model with its table; None to leave the label maps out.

    Returns:
        The results by part, ``segmentation`` among them, on every process. Those of a network are its Frechet distance
        and, under ``kid``, its kernel distance.
    """
    note = small_sample_note(len(indices))
    if networks and note and accelerator.is_main_process:
        warnings.warn(note, stacklevel=3)  # past inference_mode
    distances = {name: FeatureDistances(indices) for name in networks}
    names = inputs.system.labels.names
    ignored = {*segmenter[1].ignored, *inputs.ignored_classes} if segmenter else ()
    # Of the pictures, and of the photos, whose scores are the best that the model can give.
    meters = SegmentationMeter(names, ignored), SegmentationMeter(names, ignored)
    batches = inputs.batches(indices)

    def measure_batch(position: int) -> None:
        batch = batches[position]
        photos, drawn, label = inputs.draw(batch)
        both = compared(photos, drawn, label)
        for name, network in networks.items():
            distances[name].update(batch, *(network(pictures) for pictures in both))
        if segmenter:
            for meter, pictures in zip(meters, (drawn, photos), strict=True):
                found = segmenter[0](eight_bit(pictures))
                for index, truth, predicted in zip(batch, label, found, strict=True):
                    meter.update(index, truth, predicted)

    run_sharded(len(batches), measure_batch, accelerator, "pictures")
    shards = gather_object([(distances, meters)])
    found: dict[str, Any] = {}
    for name, network in networks.items():
        total = FeatureDistances(indices)
        for shard, _ in shards:
            total.merge(shard[name])
        found[name] = total.result(network)
    if segmenter:
        drawn, photographed = SegmentationMeter(names, ignored), SegmentationMeter(names, ignored)
        for _, (of_pictures, of_photos) in shards:
            drawn.merge(of_pictures)
            photographed.merge(of_photos)
        found["segmentation"] = {
            **asdict(drawn.result()),
            "confusion": drawn.confusion.tolist(),
            "photos": asdict(photographed.result()),
        }
    return found


def measure_speed(inputs: Inputs, index: int, decodes: int) -> dict[str, Any]:
    """Return pictures per second, one at a time: from the label map, as in Table 1, and from the prepared map.

    Args:
        inputs: what is measured.
        index: item whose label map is drawn.
        decodes: number of timed pictures.
    """
    label, instance = inputs.label(index)
    maps = (label[None], None if instance is None else instance[None])
    fps, prepared = (
        frames_per_second(inputs.system, *maps, prepared=prepared, decodes=decodes)
        for prepared in (False, True)
    )
    device = inputs.system.device
    machine = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type}, {torch.get_num_threads()} thread"
    )
    return {"fps": fps, "fps_prepared": prepared, "decodes": decodes, "device": machine}
