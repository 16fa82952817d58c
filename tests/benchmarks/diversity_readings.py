"""How much of mOCD a model could avoid: ``python tests/benchmarks/diversity_readings.py --models space/model ...``.

Each model is measured as it is, and with every pixel outside the redrawn class put back. What is
left of mOCD then is no change outside the class: the features of LPIPS see far beyond a class's border. Enlarging the
pictures before they are compared makes what the features see smaller.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub import PairedImages, load_system
from groupdnet_hub.metrics import (
    ClassDiversityMeter,
    Reading,
    Redrawing,
    SpatialDistance,
    alexnet_lpips,
    measure_classes,
)


class PutBack(Redrawing):
    """Pairs that differ inside the redrawn class only."""

    def pairs(self, scene: object, class_id: int | None, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """As :meth:`Redrawing.pairs`."""
        for one, other in super().pairs(scene, class_id, count):
            yield one, other if class_id is None else torch.where(self.label == class_id, other, one)


def enlarged(distance: SpatialDistance, scale: int) -> SpatialDistance:
    """A distance of pictures enlarged ``scale`` times, at their own size."""

    def of_enlarged(one: Tensor, other: Tensor) -> Tensor:
        large = [F.interpolate(x, scale_factor=scale, mode="bicubic").clamp(-1, 1) for x in (one, other)]
        return F.avg_pool2d(distance(*large), scale)

    return distance if scale == 1 else of_enlarged


@torch.no_grad()
def main() -> None:
    """Measure what the command line asks for and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--data_dir", required=True, help="folder of a data set with a validation part")
    parser.add_argument("--alexnet_weights", help="safetensors; by default torchvision downloads its own")
    parser.add_argument("--enlarge", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--num_samples", type=int, default=10)
    parser.add_argument("--num_pairs", type=int, default=2)
    args = parser.parse_args()
    lpips = alexnet_lpips(args.alexnet_weights, spatial=True)
    print("mCSD / mOCD = ratio, for each of the three readings\n")
    print(
        "| model | enlarged | outside | image mean | region mean | masked pictures |\n|---|---|---|---|---|---|"
    )
    for model in args.models:
        system = load_system(model)
        data = PairedImages.from_folder(args.data_dir, system.config.image_size, split="validation")
        for scale in args.enlarge:
            for outside, kind in (("as drawn", Redrawing), ("put back", PutBack)):
                if kind is PutBack and not system.has_class_codes:
                    continue  # one set of pairs serves all its classes
                meter = ClassDiversityMeter(system.labels.names)
                for i in range(args.num_samples):
                    index = i * len(data) // args.num_samples
                    redrawing = kind(system, data[index]["label"], index)
                    meter.update(
                        index, measure_classes(redrawing, enlarged(lpips, scale), num_pairs=args.num_pairs)
                    )
                found = meter.result()
                readings = (found.image_mean, found.region_mean, found.masked)
                print(f"| {model} | {scale}x | {outside} | {' | '.join(map(row, readings))} |", flush=True)


def row(reading: Reading) -> str:
    """mCSD / mOCD = ratio."""
    ratio = f"{reading.mcsd.value / reading.mocd.value:.2f}" if reading.mocd.value > 1e-9 else "∞"
    return f"{reading.mcsd.value:.4f} / {reading.mocd.value:.4f} = {ratio}"


if __name__ == "__main__":
    main()
