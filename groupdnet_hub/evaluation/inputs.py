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
from groupdnet_hub.metrics import eight_bit
from groupdnet_hub.runs.measuring.items import MeasuredItems
from groupdnet_hub.runs.provenance import digest, model_digest
from groupdnet_hub.runs.sharding import read_sharded

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


class Inputs(MeasuredItems):
    """A system and the items of a split, as the flags name them.

    Attributes:
        digest: SHA-256 of the system's configuration and weights.
        data_digest: SHA-256 of the split's files.
        chosen: indices of the measured items, those whose names end in ``--name_suffix`` and whose label maps have a
            known pixel.
        present: ids of the classes that known pixels of the label map of each of them have.
        unknown: how many pixels are unknown; None where nothing stands for them.

    Raises:
        ValueError: for a system or a split that cannot be read or do not fit each other, missing instance maps that
            the system needs, a suffix that no name has, and label maps without a known pixel.
    """

    def __init__(self, settings: EvaluateConfig, accelerator: Accelerator) -> None:
        system = load_system(settings.model, device=accelerator.device).requires_grad_(False)
        split, ignored = Path(settings.data_dir) / settings.split, settings.ignore_id
        size, edges = system.config.image_size, system.config.instance_edges
        data = open_split(split, system.labels, size, ignored, instances=edges)
        super().__init__(system, data, seed=settings.seed, batch_size=settings.batch_size)
        self.ignored = ignored
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

    def open(self, split: Path, size: tuple[int, int]) -> PairedImages:
        """Open a split of the system's classes, whose unknown pixels ``--ignore_id`` names too."""
        return open_split(split, self.system.labels, size, self.ignored, instances=False)

    def sampled(self, index: int, count: int) -> Sampled:
        """Draw ``count`` pictures of one item; the first is that of :meth:`draw`, and none depends on ``count``."""
        label, instance = self.label(index)
        prepared = self.system.prepare(label[None], None if instance is None else instance[None])
        size = min(_BATCH, self.batch_size)
        item = self.judged[index]
        unknown = self._unknown(item)
        drawn = []
        for start in range(0, count, size):
            codes = [self.codes(index, start + number, label) for number in range(size)]
            pictures = self._as_judged(self.system.decode(torch.cat(codes), prepared))
            drawn.append(eight_bit(grey_unknown(pictures, unknown)))
        photo = self.known_photo(item).to(self.system.device)
        return Sampled(photo, torch.cat(drawn)[:count], self._known_label(item))

    def known_photo(self, item: dict[str, Tensor]) -> Tensor:
        """Return the photo of an item at the size at which it is judged, uint8 [3, H, W], grey at unknown pixels."""
        return eight_bit(grey_unknown(self.cut(item["image"]), self._unknown(item))[None])[0]

    def draw(self, indices: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a picture of each item, at the size at which it is judged."""
        items, pictures = self.drawn(indices)
        drawn = self._as_judged(pictures)
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

    def _as_judged(self, drawn: Tensor) -> Tensor:
        if tuple(drawn.shape[2:]) != self.judged_size:
            drawn = F.interpolate(drawn, self.judged_size, mode="bicubic", antialias=True).clamp(-1, 1)
        return self.cut(drawn)

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
