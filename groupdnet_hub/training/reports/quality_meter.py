"""What is measured of a model while it trains: metrics of evaluate.py, by its code, on the same pictures each time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from groupdnet_hub import PairedImages
from groupdnet_hub.baselines import System
from groupdnet_hub.metrics import ClassDiversity, FeatureStatistics, frechet_distance, kernel_distance
from groupdnet_hub.runs.measuring.diversity import CLASSES, LPIPS, diversity_part
from groupdnet_hub.runs.measuring.items import MeasuredItems, compared
from groupdnet_hub.runs.measuring.networks import MeasuringSettings, Networks
from groupdnet_hub.runs.sharding import on_main_process, run_sharded
from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.state.quality_record import Evaluation

# As evaluate.py has them by default, whatever the seed of the run, so that values of several runs compare.
_SEED, _BATCH_SIZE = 0, 8
# Classes to redraw in all, on which the default number of label maps depends.
_REDRAWN_CLASSES = 128
_FRECHET, _KERNEL = ("frechet", "fid"), ("kid", "kid_inception")
_OF_INCEPTION = ("fid", "kid_inception")
_OF_CLASSES = ("mcsd", "mocd")


class QualityMeter:
    """Measures a model on some items of the validation split, which all processes share.

    Args:
        settings: settings of the run.
        data: the validation split, at the model's size.
        system: a model of the run, of which only what never changes is looked at.
        accelerator: accelerator of the run.

    Attributes:
        metrics: names of what is measured.
        conditions: what else the values depend on, in plain JSON types.

    Raises:
        ValueError: for metrics that say nothing of such a system, pictures without a known pixel, and weights that
            cannot be had.
    """

    def __init__(
        self, settings: ResolvedTrainConfig, data: PairedImages, system: System, accelerator: Accelerator
    ) -> None:
        self.accelerator, self.data = accelerator, data
        self.metrics = chosen_metrics(settings, system)
        # Spread as evaluate.py does, so that its --num_images and --num_samples choose the same.
        self.indices = self._known(system, settings.num_validation_pictures)
        if len(self.indices) < 2:
            raise ValueError(
                f"--evaluation_steps measures at least 2 pictures, and {len(self.indices)} of those chosen from the "
                f"validation split, which has {len(data)}, shows a known class: add some to it"
            )
        redrawn = len(system.labels) if system.has_class_codes else 1
        maps = min(settings.num_validation_pictures, max(2, _REDRAWN_CLASSES // redrawn))
        self.diversity_indices = self._known(system, settings.num_diversity_pictures or maps)
        self.pairs = settings.num_diversity_pairs
        networks = _networks(settings, accelerator)
        with accelerator.local_main_process_first():  # weights are downloaded once
            self._features = {
                name: networks.inception if name in _OF_INCEPTION else networks.trunk
                for name in self.metrics
                if name in (*_FRECHET, *_KERNEL)
            }
            self._distance = networks.lpips_maps if {LPIPS, *_OF_CLASSES} & set(self.metrics) else None
        self._photos: dict[str, Tensor] = {}
        self.conditions = {
            "pictures": len(self.indices),
            "diversity_pictures": len(self.diversity_indices),
            "diversity_pairs": self.pairs,
            "frechet_net": settings.frechet_net,
        }

    def title(self, metric: str) -> str:
        """Return the name of a metric for people, with the number of pictures."""
        network: Any = self._features.get(metric)
        if network is not None:
            name = network.distance_name if metric in _FRECHET else network.kernel_name
            return f"{name}, {len(self.indices)} validation pictures"
        name = {"lpips": "LPIPS", "mcsd": "mCSD", "mocd": "mOCD"}[metric]
        return f"{name}, {len(self.diversity_indices)} label maps"

    @torch.no_grad()
    def measure(self, system: System, step: int) -> Evaluation:
        """Measure a model after ``step`` updates, in evaluation mode; every process calls it, and has what is found.

        Raises:
            ValueError: on every process alike, for files that cannot be read, and pictures that are not finite.
        """
        items = self._items(system)
        drawn, photos = self._picture_features(items)
        rows = {part: self._rows(items, part) for part in self._parts()}

        def conclude() -> Evaluation:
            values = {name: _distance(name, drawn[name], photos[name]) for name in self._features}
            by_class: dict[str, dict[str, float]] = {}
            for part, found in rows.items():
                result = self._part(items, part).result(found, intervals=False)
                if isinstance(result, ClassDiversity):
                    reading = result.image_mean
                    values |= {"mcsd": reading.mcsd.value, "mocd": reading.mocd.value}
                    by_class = {"csd": _defined(reading.csd), "ocd": _defined(reading.ocd)}
                else:
                    values["lpips"] = result.lpips.value
            defined = {name: value for name in self.metrics if (value := values[name]) is not None}
            return Evaluation(step, defined, by_class, self.conditions)

        return on_main_process(self.accelerator, conclude)

    def _known(self, system: System, count: int) -> list[int]:
        """Return ``count`` items, evenly spread, without those whose label maps have no known pixel."""
        return [i for i in self._items(system).spread(count) if bool((self.data.known_label(i) >= 0).any())]

    def _items(self, system: System) -> MeasuredItems:
        return MeasuredItems(system, self.data, seed=_SEED, batch_size=_BATCH_SIZE)

    def _picture_features(self, items: MeasuredItems) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return features [N, D] of a drawn picture of each item and of its photo, by metric."""
        if not self._features:
            return {}, {}
        networks: dict[int, nn.Module] = {id(network): network for network in self._features.values()}
        batches, first = items.batches(self.indices), not self._photos

        def features(position: int) -> dict[int, tuple[Tensor, Tensor | None]]:
            photos, drawn, label = items.draw(batches[position])
            real, fake = compared(photos, drawn, label)
            return {
                key: (network(fake).float().cpu(), network(real).float().cpu() if first else None)
                for key, network in networks.items()
            }

        found = run_sharded(len(batches), features, self.accelerator, None)
        if first:  # the photos are always the same
            of_photos = {key: torch.cat([one[key][1] for one in found]) for key in networks}
            self._photos = {name: of_photos[id(network)] for name, network in self._features.items()}
        of_drawn = {key: torch.cat([one[key][0] for one in found]) for key in networks}
        return {name: of_drawn[id(network)] for name, network in self._features.items()}, self._photos

    def _parts(self) -> list[str]:
        parts = [LPIPS] if LPIPS in self.metrics else []
        return [*parts, CLASSES] if set(_OF_CLASSES) & set(self.metrics) else parts

    def _part(self, items: MeasuredItems, name: str) -> Any:
        assert self._distance is not None, "loaded for these metrics"
        names = items.system.labels.names
        return diversity_part(name, names, self._distance, self.pairs, items.ignored_classes)

    def _rows(self, items: MeasuredItems, name: str) -> dict[int, Any]:
        part, indices = self._part(items, name), self.diversity_indices
        measured = run_sharded(
            len(indices), lambda i: part.measure(items.redrawing(indices[i])), self.accelerator, None
        )
        return dict(zip(indices, measured, strict=True))


def chosen_metrics(settings: ResolvedTrainConfig, system: System) -> tuple[str, ...]:
    """Return the names of what is measured of a system.

    Raises:
        ValueError: for mcsd and mocd of a system without per-class codes, and lpips of one without any.
    """
    lacking = {} if system.has_class_codes else dict.fromkeys(_OF_CLASSES, "per-class codes")
    if not math.prod(system.config.code_shape):
        lacking["lpips"] = "codes"
    asked = settings.evaluation_metrics or ()
    for flag, names in (("evaluation_metrics", asked), ("keep_best", (settings.keep_best,))):
        name = next((name for name in names if name in lacking), None)
        if name is not None:
            raise ValueError(
                f"--{flag} {name} says nothing of a {system.config.system_name}, which has no {lacking[name]}: leave it "
                "out"
            )
    if asked:
        return asked
    found = dict.fromkeys(("frechet", LPIPS, *_OF_CLASSES, *filter(None, [settings.keep_best])))
    return tuple(name for name in found if name not in lacking)


def _networks(settings: ResolvedTrainConfig, accelerator: Accelerator) -> Networks:
    """Return the networks; the file of the perceptual net serves here too, where it is the same net."""
    measuring = MeasuringSettings(
        alexnet_weights=settings.alexnet_weights,
        inception_weights=settings.inception_weights,
        frechet_net=settings.frechet_net,
        frechet_weights=settings.frechet_weights,
    )
    if settings.frechet_weights is None:
        files = {settings.perceptual_net: settings.perceptual_weights, "alexnet": settings.alexnet_weights}
        measuring = replace(measuring, frechet_weights=files.get(settings.frechet_net))
    return Networks(measuring, accelerator.device)


def _distance(metric: str, drawn: Tensor, photos: Tensor) -> float | None:
    if metric in _KERNEL:
        return kernel_distance(drawn[:, None], photos).value
    statistics: Sequence[FeatureStatistics] = (FeatureStatistics(), FeatureStatistics())
    for total, features in zip(statistics, (photos, drawn), strict=True):
        total.update(features)
    return frechet_distance(*statistics)


def _defined(estimates: Mapping[str, Any]) -> dict[str, float]:
    return {name: one.value for name, one in estimates.items() if one.value is not None}
