"""The inputs of a measurement: a system, and the label maps and photos of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub import PairedImages, load_system
from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.labels import classes_present
from groupdnet_hub.data.splits import open_split
from groupdnet_hub.data.unknown import UNKNOWN, grey_unknown, mark_unknown
from groupdnet_hub.evaluation.config import EvaluateConfig
from groupdnet_hub.metrics import Redrawing, eight_bit
from groupdnet_hub.runs.provenance import digest, model_digest
from groupdnet_hub.runs.sharding import picture_seed, read_sharded

# Random streams of a label map's codes: of pairs that differ in a class, and of single pictures, of which each has the
# number after the one before.
_REDRAWN, _DRAWN = 0, 1
# Pictures of one map that are decoded together, however many are wanted: the batch size changes the rounding.
_BATCH = 4


@dataclass(frozen=True)
class Sampled:
    """Several pictures drawn on one label map, and its photo, at the size at which they are judged.

    Attributes:
        photo: uint8 [3, H, W], grey at unknown pixels.
        pictures: uint8 [K, 3, H, W], grey at unknown pixels.
        label: int64 [H, W], on the CPU, with UNKNOWN at unknown pixels.
    """

    photo: Tensor
    pictures: Tensor
    label: Tensor

    def first(self, count: int) -> Sampled:
        """Return the same with the first ``count`` pictures only."""
        return replace(self, pictures=self.pictures[:count])


@dataclass(frozen=True)
class UnknownPixels:
    """The unknown pixels of the measured label maps, at the system's size.

    Attributes:
        ignore: ids and colours that stand for them.
        maps: number of label maps that have some.
        fraction: fraction of all pixels.
        left_out: number of label maps without a known pixel, which are not measured and in no other number.
    """

    ignore: tuple[Ignored, ...]
    maps: int
    fraction: float
    left_out: int


class Inputs:
    """A system and the items of a split, each with codes that depend on ``--seed`` and its index alone.

    Attributes:
        digest: SHA-256 of the system's configuration and weights.
        data_digest: SHA-256 of the split's files.
        chosen: indices of the measured items, those whose names end in ``--name_suffix`` and whose label maps have a
            known pixel.
        present: ids of the classes that known pixels of the label map of each of them have.
        unknown: how many pixels are unknown; None where nothing stands for them.
        ignored_classes: ids of the classes that stand for unknown pixels.

    Raises:
        ValueError: for a system or a split that cannot be read or do not fit each other, missing instance maps that
            the system needs, a suffix that no name has, and label maps without a known pixel.
    """

    def __init__(self, settings: EvaluateConfig, accelerator: Accelerator) -> None:
        self.seed, self.batch_size, self.ignored = settings.seed, settings.batch_size, settings.ignore_id
        self.system = load_system(settings.model, device=accelerator.device).requires_grad_(False)
        split = Path(settings.data_dir) / settings.split
        size, edges = self.system.config.image_size, self.system.config.instance_edges
        self.data = self.open(split, size, instances=edges)
        ignored = (value for value in self.data.labels.ignored_ids if value < len(self.system.labels))
        self.ignored_classes = tuple(ignored)
        sides = settings.judged_size or size
        self.judged_size = (sides[0], sides[-1])
        own_size = self.judged_size == self.data.image_size
        self.judged = self.data if own_size else self.open(split, self.judged_size)
        self.aspect: float | None = settings.judged_aspect
        self.digest = model_digest(self.system, self.system.config.to_json())
        self.chosen = with_suffix(self.data, settings.name_suffix)
        found = read_sharded(
            len(self.chosen), lambda i: self._describe(self.chosen[i]), accelerator, "reading label maps"
        )
        self.data_digest = digest(*(one for one, *_ in found))
        height, width = self.data.image_size
        known = [(i, one) for i, one in zip(self.chosen, found, strict=True) if one[2] < height * width]
        if not known:
            raise ValueError("all pixels of all label maps are unknown: nothing can be measured")
        self.chosen = [index for index, _ in known]
        self.present = {index: classes for index, (_, classes, _) in known}
        self.unknown = None
        if self.data.labels.ignore:
            counts = [count for _, (*_, count) in known]
            self.unknown = UnknownPixels(
                self.data.labels.ignore,
                sum(count > 0 for count in counts),
                sum(counts) / (len(counts) * height * width),
                len(found) - len(known),
            )

    def open(self, split: Path, size: tuple[int, int], *, instances: bool = False) -> PairedImages:
        """Open a split of the system's classes, whose unknown pixels ``--ignore_id`` names too."""
        return open_split(split, self.system.labels, size, self.ignored, instances=instances)

    def spread(self, count: int | None) -> list[int]:
        """Return the indices of ``count`` items, evenly spread over the chosen; all for None, or if there are fewer."""
        return evenly(self.chosen, count)

    def label(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Return a label map int64 [H, W], and its instance map for a system that needs one."""
        return self._maps(self.data[index])

    def redrawing(self, index: int) -> Redrawing:
        """Return the pictures of an item that differ in one class."""
        item = self.data[index]
        label, instance = self._maps(item)
        seed = picture_seed(self.seed, index, _REDRAWN)
        return Redrawing(self.system, label, seed, instance, self.batch_size, item.get("unknown"))

    def sampled(self, index: int, count: int) -> Sampled:
        """Draw ``count`` pictures of one item; the first is that of :meth:`draw`, and none depends on ``count``."""
        label, instance = self.label(index)
        prepared = self.system.prepare(label[None], None if instance is None else instance[None])
        size = min(_BATCH, self.batch_size)
        item = self.judged[index]
        unknown = self._unknown(item)
        drawn = []
        for start in range(0, count, size):
            codes = [self._codes(index, start + number, label) for number in range(size)]
            pictures = self._as_judged(self.system.decode(torch.cat(codes), prepared))
            drawn.append(eight_bit(grey_unknown(pictures, unknown)))
        photo = self.known_photo(item).to(self.system.device)
        return Sampled(photo, torch.cat(drawn)[:count], self._known_label(item))

    def known_photo(self, item: dict[str, Tensor]) -> Tensor:
        """Return the photo of an item at the size at which it is judged, uint8 [3, H, W], grey at unknown pixels."""
        return eight_bit(grey_unknown(self.cut(item["image"]), self._unknown(item))[None])[0]

    def draw(self, indices: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a picture of each item.

        Returns:
            (photos, pictures, label maps) at the size at which they are judged: float [B, 3, H, W] in [-1, 1] twice, on
            the system's device, and int64 [B, H, W] with UNKNOWN at unknown pixels. Photos and pictures are full.
        """
        items = [self.data[index] for index in indices]
        maps = [self._maps(item) for item in items]
        label = torch.stack([one for one, _ in maps])
        instances = [instance for _, instance in maps if instance is not None]
        codes = [self._codes(index, 0, one) for index, one in zip(indices, label, strict=True)]
        drawn = self.system.decode(torch.cat(codes), label, torch.stack(instances) if instances else None)
        drawn = self._as_judged(drawn)
        if self.judged is not self.data:
            items = [self.judged[index] for index in indices]
        photos = torch.stack([self.cut(item["image"]) for item in items]).to(drawn.device)
        return photos, drawn, torch.stack([self._known_label(item) for item in items])

    def cut(self, picture: Tensor) -> Tensor:
        """Return the middle columns [..., H, H / aspect] of a picture or map [..., H, W], with ``--judged_aspect``."""
        height, width = picture.shape[-2:]
        columns = width if self.aspect is None else min(width, max(1, round(height / self.aspect)))
        left = (width - columns) // 2
        return picture[..., left : left + columns]

    def judging_settings(self) -> dict[str, Any]:
        """Return the settings of judging, where they differ from those of drawing."""
        settings: dict[str, Any] = {}
        if self.judged_size != tuple(self.system.config.image_size):
            settings["judged_size"] = list(self.judged_size)
        if self.aspect is not None:
            settings["judged_aspect"] = self.aspect
        return settings

    def _unknown(self, item: dict[str, Tensor]) -> Tensor | None:
        return self.cut(item["unknown"]) if "unknown" in item else None

    def _known_label(self, item: dict[str, Tensor]) -> Tensor:
        return mark_unknown(self.cut(item["label"]), self._unknown(item))

    def _codes(self, index: int, number: int, label: Tensor) -> Tensor:
        """Return codes [1, ...] of one picture of an item."""
        seed = picture_seed(self.seed, index, _DRAWN + number)
        size = (label.shape[0], label.shape[1])
        return self.system.sample_codes(1, generator=torch.Generator().manual_seed(seed), label_size=size)

    def _as_judged(self, drawn: Tensor) -> Tensor:
        if tuple(drawn.shape[2:]) != self.judged_size:
            drawn = F.interpolate(drawn, self.judged_size, mode="bicubic", antialias=True).clamp(-1, 1)
        return self.cut(drawn)

    def _maps(self, item: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        instance = item.get("instance") if self.system.config.instance_edges else None
        return item["label"], instance

    def _describe(self, index: int) -> tuple[str, list[int], int]:
        """Return the digest of an item's files, the classes of its known pixels, and the number of unknown ones."""
        files = [Path(file).read_bytes() for file in self.data.pairs[index] if file is not None]
        item = self.data[index]
        known = mark_unknown(item["label"], item.get("unknown"))
        count = int((known == UNKNOWN).sum())
        return digest(*files), classes_present(known, len(self.system.labels)), count


def with_suffix(data: PairedImages, suffix: str | None) -> list[int]:
    """Return the indices of items whose picture's name, without the file suffix, ends in ``suffix``; all for None.

    Raises:
        ValueError: if there is none.
    """
    if suffix is None:
        return list(range(len(data)))
    names = [Path(pair[0]).stem for pair in data.pairs]
    chosen = [index for index, name in enumerate(names) if name.endswith(suffix)]
    if not chosen:
        raise ValueError(
            f"--name_suffix: none of the {len(names)} names ends in {suffix!r}; the first are {', '.join(names[:3])}"
        )
    return chosen


def evenly(numbers: Sequence[int], count: int | None) -> list[int]:
    """Return ``count`` of the numbers, evenly spread; all for None, or if there are fewer."""
    total = len(numbers)
    count = total if count is None else min(count, total)
    return [numbers[i * total // count] for i in range(count)]
