"""Previews of a run: grids of reconstructions, samples and rerolls of a few validation pictures, with numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from groupdnet_hub.baselines import System
from groupdnet_hub.data.labels import classes_present, colour_picture
from groupdnet_hub.data.unknown import grey_unknown, mark_unknown, with_grey_unknown
from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.io.images import tensor_to_picture
from groupdnet_hub.training.objectives.discriminator_means import DiscriminatorMeans
from groupdnet_hub.training.objectives.losses import PerceptualLoss
from groupdnet_hub.training.reports.class_table import class_table
from groupdnet_hub.training.reports.trackers import Table


@dataclass(frozen=True)
class Previewed:
    """What a preview shows.

    Attributes:
        grid: the sample grid.
        values: numbers by name.
        classes: numbers of each class.
    """

    grid: Image.Image
    values: Mapping[str, float]
    classes: Table


class Preview:
    """Writes sample grids of a run, and measures what they show.

    Args:
        folder: where the grids are written, as ``STEP.png``.
        batch: the pictures that they show, on the training device.
        perceptual: measures the distance of pictures too.
        means: measures whether the discriminator overfits; None where there is nothing to measure it on.
        seed: of the samples.
    """

    def __init__(
        self,
        folder: Path,
        batch: Mapping[str, Tensor],
        perceptual: PerceptualLoss | None,
        means: DiscriminatorMeans | None,
        seed: int,
    ) -> None:
        self.folder, self.batch, self.perceptual = folder, batch, perceptual
        self.means, self.seed = means, seed

    def save(self, model: System, discriminator: nn.Module, step: int) -> Previewed:
        """Write a sample grid; return it with whether the posterior says anything and the discriminator overfits."""
        grid = sample_grid(model, self.batch, seed=self.seed)
        save_picture(grid, self.folder / f"{step:07d}.png")
        values, classes = posterior_report(model, self.batch, self.perceptual, seed=self.seed)
        if self.means is not None:
            values |= self.means(discriminator)
        return Previewed(grid, values, classes)


@torch.no_grad()
def sample_grid(
    model: System, batch: Mapping[str, Tensor], *, seed: int = 0, samples: int = 3
) -> Image.Image:
    """Draw one row a picture: label map, photo, reconstruction, ``samples`` samples, two rerolls of the first one.

    The rerolled class is the largest present one besides class 0; a system without class codes redraws its entire code,
    and one without an encoder has no reconstruction. Label map and photo have no class and no colour at unknown pixels.
    """
    batch = with_grey_unknown(batch)
    label, instance = batch["label"], batch.get("instance")
    known = mark_unknown(label, batch.get("unknown"))
    generator = torch.Generator().manual_seed(seed)
    columns = [
        [
            colour_picture(one, model.labels, (of_known < 0).numpy())
            for one, of_known in zip(label.cpu(), known.cpu(), strict=True)
        ]
    ]
    codes = [model.sample_codes(len(label), generator=generator) for _ in range(samples)]
    for _ in range(2):
        fresh = model.sample_codes(len(label), generator=generator)
        if model.has_class_codes:
            rerolled = codes[0].clone()
            for i, one in enumerate(known):
                chosen = _largest_class(one, model.config.num_classes)
                rerolled[i, chosen] = fresh[i, chosen]
            fresh = rerolled
        codes.append(fresh)
    if model.has_encoder:
        codes.insert(0, model.encode(batch["image"], label).mode())
    prepared = model.prepare(label, instance)
    for pictures in (batch["image"], *(model.decode(one, prepared) for one in codes)):
        columns.append([tensor_to_picture(picture.float().cpu()) for picture in pictures])
    width, height = columns[0][0].size
    grid = Image.new("RGB", (width * len(columns), height * len(label)))
    for x, column in enumerate(columns):
        for y, picture in enumerate(column):
            grid.paste(picture.convert("RGB"), (x * width, y * height))
    return grid


@torch.no_grad()
def posterior_report(
    model: System, batch: Mapping[str, Tensor], perceptual: PerceptualLoss | None, *, seed: int = 0
) -> tuple[dict[str, float], Table]:
    """Return what the code says: KL by class, and the distance of reconstruction and sample to the photo.

    Unknown pixels are grey in all of them.

    Returns:
        (numbers by name, the table of the classes).
    """
    batch = with_grey_unknown(batch)
    unknown, names = batch.get("unknown"), model.labels.names
    prepared = model.prepare(batch["label"], batch.get("instance"))
    fresh = model.sample_codes(len(batch["label"]), generator=torch.Generator().manual_seed(seed))
    codes, report, kl = {"sample": fresh}, {}, None
    if model.has_encoder:
        posterior = model.encode(batch["image"], batch["label"])
        kl = posterior.kl().mean(dim=0)
        shown = names if model.has_class_codes else ("all",)
        report = {f"kl/{name}": float(value) for name, value in zip(shown, kl, strict=True)}
        codes = {"reconstruction": posterior.mode()} | codes
    distances = {}
    for name, these in codes.items():
        picture = grey_unknown(model.decode(these, prepared), unknown)
        difference = (picture - batch["image"]).abs()
        report[f"l1/{name}"] = float(difference.mean())
        distances[name] = difference.mean(dim=1)
        if perceptual is not None:
            report[f"perceptual/{name}"] = float(perceptual(picture, batch["image"]))
    of_classes = kl if model.has_class_codes else None
    return report, class_table(names, mark_unknown(batch["label"], unknown), of_classes, distances)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        picture.save(partial, format="PNG")


def _largest_class(label: Tensor, num_classes: int) -> int:
    present = [c for c in classes_present(label, num_classes) if c != 0] or [0]
    return max(present, key=lambda c: int((label == c).sum()))
