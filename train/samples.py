"""What a run looks like: a grid of reconstructions, samples and rerolls of a few validation pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from groupdnet_hub import (
    GroupDNet,
    PerceptualLoss,
    classes_present,
    colour_picture,
    tensor_to_picture,
    whole_file,
)


@torch.no_grad()
def sample_grid(
    model: GroupDNet, batch: Mapping[str, Tensor], *, seed: int = 0, samples: int = 3
) -> Image.Image:
    """One row a picture: label map, photo, reconstruction, ``samples`` samples, two rerolls of the first one.

    The rerolled class is the largest present one besides class 0.
    """
    label, instance = batch["label"], batch.get("instance")
    generator = torch.Generator().manual_seed(seed)
    columns = [[colour_picture(one.cpu(), model.labels) for one in label]]
    codes = [model.encode(batch["image"], label).mode()]
    codes += [model.sample_codes(len(label), generator=generator) for _ in range(samples)]
    for _ in range(2):
        rerolled, fresh = codes[1].clone(), model.sample_codes(len(label), generator=generator)
        for i, one in enumerate(label):
            chosen = _largest_class(one, model.config.num_classes)
            rerolled[i, chosen] = fresh[i, chosen]
        codes.append(rerolled)
    scene = model.prepare(label, instance)
    for pictures in (batch["image"], *(model.decode(one, scene) for one in codes)):
        columns.append([tensor_to_picture(picture.float().cpu()) for picture in pictures])
    width, height = columns[0][0].size
    grid = Image.new("RGB", (width * len(columns), height * len(label)))
    for x, column in enumerate(columns):
        for y, picture in enumerate(column):
            grid.paste(picture.convert("RGB"), (x * width, y * height))
    return grid


@torch.no_grad()
def posterior_report(
    model: GroupDNet, batch: Mapping[str, Tensor], perceptual: PerceptualLoss | None, *, seed: int = 0
) -> dict[str, float]:
    """Does the code say anything? KL by class, and the distance of reconstruction and of a sample to the photo."""
    posterior = model.encode(batch["image"], batch["label"])
    scene = model.prepare(batch["label"], batch.get("instance"))
    fresh = model.sample_codes(len(batch["label"]), generator=torch.Generator().manual_seed(seed))
    kl = posterior.kl().mean(dim=0)
    report = {f"kl/{name}": float(value) for name, value in zip(model.labels.names, kl, strict=True)}
    for name, codes in (("reconstruction", posterior.mode()), ("sample", fresh)):
        picture = model.decode(codes, scene)
        report[f"l1/{name}"] = float((picture - batch["image"]).abs().mean())
        if perceptual is not None:
            report[f"perceptual/{name}"] = float(perceptual(picture, batch["image"]))
    return report


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG that is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        picture.save(partial, format="PNG")


def _largest_class(label: Tensor, num_classes: int) -> int:
    present = [c for c in classes_present(label, num_classes) if c != 0] or [0]
    return max(present, key=lambda c: int((label == c).sum()))
