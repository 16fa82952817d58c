"""What is measured: a system, and the label maps and photos of a split."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from accelerate import Accelerator
from generate_inputs import paired_images
from shares import digest, in_shares, model_digest, picture_seed
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub import classes_present, load_system
from groupdnet_hub.metrics import Redrawing

# What a label map's codes are drawn for: pairs that differ in a class, or one picture to judge by itself.
_REDRAWN, _DRAWN = 0, 1


class Inputs:
    """A system and the items of a split, each with codes that depend on ``--seed`` and its number alone.

    Attributes:
        digest: changes with the system's configuration and weights.
        data_digest: changes with any file of the split.
        present: for each item, the ids of the classes on its label map.

    Raises:
        ValueError: for a system or a split that cannot be read, do not fit each other, or lack instance maps that
            the system needs.
    """

    def __init__(self, args: argparse.Namespace, accelerator: Accelerator) -> None:
        self.seed, self.batch_size = args.seed, args.batch_size
        self.system = load_system(args.model, device=accelerator.device).requires_grad_(False)
        split = Path(args.data_dir) / args.split
        self.data = paired_images(split, self.system)
        sides = args.judged_size or self.system.config.image_size
        self.judged_size = (sides[0], sides[-1])
        own_size = self.judged_size == self.data.image_size
        self.judged = self.data if own_size else paired_images(split, self.system, self.judged_size)
        self.digest = model_digest(self.system, self.system.config.to_json())
        found = in_shares(len(self.data), self._describe, accelerator, "reading label maps")
        self.data_digest = digest(*(one for one, _ in found))
        self.present: list[list[int]] = [classes for _, classes in found]

    def spread(self, count: int | None) -> list[int]:
        """The numbers of ``count`` items, evenly spread over the split; of all for ``None``, or where it has fewer."""
        total = len(self.data)
        count = total if count is None else min(count, total)
        return [i * total // count for i in range(count)]

    def label(self, index: int) -> tuple[Tensor, Tensor | None]:
        """A label map int64 [H, W], and its instance map for a system that needs one."""
        return self._maps(self.data[index])

    def redrawing(self, index: int) -> Redrawing:
        """The pictures of an item that differ in one class."""
        label, instance = self.label(index)
        seed = picture_seed(self.seed, index, _REDRAWN)
        return Redrawing(self.system, label, seed, instance=instance, batch_size=self.batch_size)

    def draw(self, indices: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """(photos, pictures drawn from one sample of codes each, label maps) of some items, at the size judged at.

        Returns:
            float [B, 3, H, W] in [-1, 1] twice, on the system's device, and int64 [B, H, W].
        """
        items = [self.data[index] for index in indices]
        maps = [self._maps(item) for item in items]
        label = torch.stack([one for one, _ in maps])
        instances = [instance for _, instance in maps if instance is not None]
        codes = [
            self.system.sample_codes(
                1,
                generator=torch.Generator().manual_seed(picture_seed(self.seed, index, _DRAWN)),
                label_size=tuple(label.shape[1:]),
            )
            for index in indices
        ]
        drawn = self.system.decode(torch.cat(codes), label, torch.stack(instances) if instances else None)
        if drawn.shape[2:] != self.judged_size:
            drawn = F.interpolate(drawn, self.judged_size, mode="bicubic", antialias=True).clamp(-1, 1)
            items = [self.judged[index] for index in indices]
        photos = torch.stack([item["image"] for item in items]).to(drawn.device)
        return photos, drawn, torch.stack([item["label"] for item in items])

    def _maps(self, item: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        instance = item.get("instance") if self.system.config.instance_edges else None
        return item["label"], instance

    def _describe(self, index: int) -> tuple[str, list[int]]:
        files = [Path(file).read_bytes() for file in self.data.pairs[index] if file is not None]
        item = self.data[index]
        if self.system.config.instance_edges and "instance" not in item:
            raise ValueError(f"item {index}: this model draws instance edges, and it has no instance map")
        return digest(*files), classes_present(item["label"], len(self.system.labels))
