"""What is measured of a model while it trains: metrics of evaluate.py, by its code, on the same pictures each time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from groupdnet_hub import PairedImages
from groupdnet_hub.baselines import System
from groupdnet_hub.metrics import ClassDiversity, FeatureStatistics, frechet_distance, kernel_distance
from groupdnet_hub.runs.measuring.diversity import CLASSES, LPIPS, DiversityPart, diversity_part
from groupdnet_hub.runs.measuring.items import MeasuredItems, compared
from groupdnet_hub.runs.measuring.networks import MeasuringSettings, Networks, check_downloads
from groupdnet_hub.runs.sharding import on_main_process, run_sharded
from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.state.quality_record import Evaluation

# As evaluate.py has them by default, whatever the seed of the run, so that values of several runs compare.
_SEED, _BATCH_SIZE = 0, 8
# Classes to redraw in all, on which the default number of label maps depends.
_REDRAWN_CLASSES = 128
# Networks of features, with the Frechet and the kernel distance that they are for.
_DISTANCES = {"trunk": ("frechet", "kid"), "inception": ("fid", "kid_inception")}
_OF_CLASSES = ("mcsd", "mocd")


class QualityMeter:
    """Measures models on some items of the validation split, which all processes share.

    Args:
        settings: settings of the run.
        data: the validation split, at the models' size.
        system: a model of the run, of which only what never changes is looked at.
        accelerator: accelerator of the run.

    Attributes:
        metrics: names of what is measured.
        indices: items of which a picture is compared with its photo.
        diversity_indices: items that are redrawn for LPIPS, mCSD and mOCD.
        conditions: what else the values depend on, in plain JSON types.

    Raises:
        ValueError: for metrics that say nothing of such a system, too few pictures, and weights that cannot be had.
        ImportError: for a package that is not installed.
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
        networks = measuring_networks(settings, accelerator.device)
        check_downloads(networks.settings, self.metrics)
        with accelerator.local_main_process_first():  # weights are downloaded once
            self._features: dict[str, nn.Module] = {
                name: getattr(networks, name)
                for name, metrics in _DISTANCES.items()
                if set(metrics) & set(self.metrics)
            }
            self._lpips = networks.lpips_maps if {LPIPS, *_OF_CLASSES} & set(self.metrics) else None
        self._photos: dict[str, Tensor] | None = None
        self.conditions = {
            "pictures": len(self.indices),
            "diversity_pictures": len(self.diversity_indices),
            "diversity_pairs": self.pairs,
            "frechet_net": settings.frechet_net,
        }

    def title(self, metric: str) -> str:
        """Return the name of a metric for people, with the number of pictures."""
        for name, (frechet, kernel) in _DISTANCES.items():
            network: Any = self._features.get(name)
            if metric in (frechet, kernel):
                title = network.distance_name if metric == frechet else network.kernel_name
                return f"{title}, {len(self.indices)} pictures"
        title = {"lpips": "LPIPS", "mcsd": "mCSD", "mocd": "mOCD"}[metric]
        return f"{title}, {len(self.diversity_indices)} label maps"

    @torch.no_grad()
    def measure(self, system: System, step: int) -> Evaluation:
        """Measure a model after ``step`` updates, in evaluation mode; every process calls it, and all have the result.

        Raises:
            ValueError: on every process alike, for files that cannot be read, and pictures that are not finite.
        """
        items = self._items(system)
        drawn = self._drawn_features(items)
        parts = self._diversity(items)
        rows = {name: self._rows(items, part) for name, part in parts.items()}

        def conclude() -> Evaluation:
            values = self._distances(drawn)
            by_class: dict[str, Mapping[str, float]] = {}
            for name, part in parts.items():
                result = part.result(rows[name], intervals=False)
                if isinstance(result, ClassDiversity):
                    reading = result.image_mean
                    values |= {"mcsd": reading.mcsd.value, "mocd": reading.mocd.value}
                    by_class = {"csd": _defined(reading.csd), "ocd": _defined(reading.ocd)}
                else:
                    values["lpips"] = result.lpips.value
            defined = {name: value for name in self.metrics if (value := values[name]) is not None}
            return Evaluation(step, defined, self.conditions, by_class)

        return on_main_process(self.accelerator, conclude)

    def _known(self, system: System, count: int) -> list[int]:
        """Return ``count`` items, evenly spread, without those whose label maps have no known pixel."""
        return [i for i in self._items(system).spread(count) if bool((self.data.known_label(i) >= 0).any())]

    def _items(self, system: System) -> MeasuredItems:
        return MeasuredItems(system, self.data, seed=_SEED, batch_size=_BATCH_SIZE)

    def _drawn_features(self, items: MeasuredItems) -> dict[str, Tensor]:
        """Return features [N, D] of a picture drawn of each item, by network; those of the photos are kept."""
        batches = items.batches(self.indices) if self._features else []
        first = self._photos is None  # the photos are always the same

        def features(position: int) -> list[dict[str, Tensor]]:
            real, fake = compared(*items.draw(batches[position]))
            return [
                {name: network(pictures).float().cpu() for name, network in self._features.items()}
                for pictures in ((fake, real) if first else (fake,))
            ]

        found = run_sharded(len(batches), features, self.accelerator, None)
        joined = [
            {name: torch.cat([one[name] for one in kind]) for name in self._features}
            for kind in zip(*found, strict=True)
        ]
        if first and joined:
            self._photos = joined[1]
        return joined[0] if joined else {}

    def _distances(self, drawn: Mapping[str, Tensor]) -> dict[str, float | None]:
        values: dict[str, float | None] = {}
        for name, features in drawn.items():
            assert self._photos is not None, "measured with the first pictures"
            photos, (frechet, kernel) = self._photos[name], _DISTANCES[name]
            statistics = FeatureStatistics(), FeatureStatistics()
            statistics[0].update(photos)
            statistics[1].update(features)
            if frechet in self.metrics:
                values[frechet] = frechet_distance(*statistics)
            if kernel in self.metrics:
                values[kernel] = kernel_distance(features[:, None], photos).value
        return values

    def _diversity(self, items: MeasuredItems) -> dict[str, DiversityPart]:
        if self._lpips is None:
            return {}
        names = [LPIPS] if LPIPS in self.metrics else []
        names += [CLASSES] if set(_OF_CLASSES) & set(self.metrics) else []
        classes, ignored = items.system.labels.names, items.ignored_classes
        return {name: diversity_part(name, classes, self._lpips, self.pairs, ignored) for name in names}

    def _rows(self, items: MeasuredItems, part: DiversityPart) -> dict[int, Any]:
        indices = self.diversity_indices

        def measure(position: int) -> Any:
            return part.measure(items.redrawing(indices[position]))

        return dict(zip(indices, run_sharded(len(indices), measure, self.accelerator, None), strict=True))


def chosen_metrics(settings: ResolvedTrainConfig, system: System) -> tuple[str, ...]:
    """Return the names of what is measured of a system.

    Raises:
        ValueError: for mcsd and mocd of a system without per-class codes, and lpips of one without any.
    """
    lacking = {} if system.has_class_codes else dict.fromkeys(_OF_CLASSES, "per-class codes")
    if not math.prod(system.config.code_shape):
        lacking[LPIPS] = "codes"
    best = () if settings.keep_best is None else (settings.keep_best,)
    asked = settings.evaluation_metrics or ()
    for flag, names in (("evaluation_metrics", asked), ("keep_best", best)):
        name = next((name for name in names if name in lacking), None)
        if name is not None:
            raise ValueError(
                f"--{flag} {name} says nothing of a {system.config.system_name}, which has no {lacking[name]}: leave "
                "it out"
            )
    default = dict.fromkeys(("frechet", LPIPS, *_OF_CLASSES, *best))
    return asked or tuple(name for name in default if name not in lacking)


def measuring_networks(settings: ResolvedTrainConfig, device: torch.device) -> Networks:
    """Return the networks; a file of weights serves here too if it is given for another use of the same net."""
    measuring = MeasuringSettings(
        alexnet_weights=settings.alexnet_weights,
        inception_weights=settings.inception_weights,
        frechet_net=settings.frechet_net,
        frechet_weights=settings.frechet_weights,
    )
    if settings.frechet_weights is None:
        files = {settings.perceptual_net: settings.perceptual_weights, "alexnet": settings.alexnet_weights}
        measuring = replace(measuring, frechet_weights=files.get(settings.frechet_net))
    return Networks(measuring, device)


def _defined(estimates: Mapping[str, Any]) -> dict[str, float]:
    return {name: one.value for name, one in estimates.items() if one.value is not None}
