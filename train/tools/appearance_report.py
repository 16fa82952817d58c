"""Answer two questions about a model on real pictures: does a reroll stay in its class, does encode see the photo?

``python train/tools/appearance_report.py --model space/model --data_dir FOLDER --alexnet_weights FILE``
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from groupdnet_hub import GroupDNet, LabelSet
from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.splits import open_split
from groupdnet_hub.data.unknown import grey_unknown, mark_unknown, with_grey_unknown
from groupdnet_hub.metrics import alexnet_lpips
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.ignored import ignore_option
from groupdnet_hub.runs.scripts import run_command
from groupdnet_hub.runs.settings import (
    Settings,
    at_least,
    existing_file,
    existing_folder,
    option,
    refuse_other_folders,
    seed_option,
)


def main_class(labels: LabelSet, items: Iterable[dict[str, Tensor]]) -> str:
    """Return the name of the class with the most known pixels in all pictures, leaving ``background`` aside."""
    counts = torch.zeros(len(labels), dtype=torch.int64)
    for item in items:
        known = mark_unknown(item["label"], item.get("unknown"))
        counts += known[known >= 0].bincount(minlength=len(labels))
    if "background" in labels.names and len(labels) > 1:
        counts[labels.id_of("background")] = -1
    return labels.names[int(counts.argmax())]


def instance_of(item: dict[str, Tensor]) -> Tensor | None:
    """Return the instance map of an item as a batch [1, H, W]; None if it has none."""
    return item["instance"][None] if "instance" in item else None


@torch.inference_mode()
def reroll_locality(
    model: GroupDNet, items: Iterable[dict[str, Tensor]], class_: str, *, seed: int = 0
) -> dict[str, float]:
    """Measure how much more a reroll of one class changes pixels inside its region than outside.

    Args:
        model: model.
        items: pictures with their label maps.
        class_: name of the class.
        seed: seed of the codes.

    Returns:
        ``inside`` and ``outside``: mean absolute change of a known pixel's value (scale 0..255) over all pictures that
        show the class; ``ratio``; ``pictures``.

    Raises:
        ValueError: if no picture shows the class.
    """
    generator, class_id = torch.Generator().manual_seed(seed), model.labels.id_of(class_)
    changes: list[tuple[float, float]] = []
    for item in items:
        label = item["label"][None]
        known = mark_unknown(item["label"], item.get("unknown"))
        region, others = known == class_id, (known != class_id) & (known >= 0)
        if not region.any():
            continue
        codes = model.sample_codes(generator=generator)
        rerolled = model.redraw(codes, class_id, generator=generator)
        prepared = model.prepare(label, instance_of(item))
        change = (model.decode(codes, prepared) - model.decode(rerolled, prepared)).abs().mean(dim=1)[
            0
        ] * 127.5
        changes.append((float(change[region].mean()), float(change[others].mean())))
    if not changes:
        raise ValueError(f"none of the pictures shows {class_}: give more of them, or another --reroll_class")
    inside, outside = np.mean(changes, axis=0)
    return {
        "inside": float(inside),
        "outside": float(outside),
        "ratio": float(inside / outside),
        "pictures": len(changes),
    }


@torch.inference_mode()
def compare_reconstructions(
    model: GroupDNet, items: Iterable[dict[str, Tensor]], distance: nn.Module, *, seed: int = 0
) -> dict[str, float]:
    """Compare ``decode(encode(photo))``, and a random sample on the same map, with the photo.

    All three are grey at unknown pixels.

    Args:
        model: model.
        items: pictures with their label maps.
        distance: callable on two batches [1, 3, H, W] in [-1, 1], such as LPIPS.
        seed: seed of the random samples.

    Returns:
        ``share``, the fraction of photos to which the former is nearer; mean distances ``reconstruction`` and
        ``sample``; ``pictures``.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for item in items:
        image, label = with_grey_unknown(item)["image"][None], item["label"][None]
        unknown, prepared = item.get("unknown"), model.prepare(label, instance_of(item))
        codes = (model.encode(image, label).mode(), model.sample_codes(generator=generator))
        drawn = (grey_unknown(model.decode(one, prepared), unknown) for one in codes)
        pairs.append([float(distance(picture, image)) for picture in drawn])
    found = np.array(pairs)
    return {
        "share": float((found[:, 0] < found[:, 1]).mean()),
        "reconstruction": float(found[:, 0].mean()),
        "sample": float(found[:, 1].mean()),
        "pictures": len(found),
    }


@dataclass(frozen=True, kw_only=True)
class ReportConfig(Settings):
    """Settings of appearance_report.py: model and data."""

    model: str = option(help="folder or Hub id")
    data_dir: str = option(help="data set folder with a validation split", check=existing_folder)
    split: str = option("validation", "its split")
    ignore_id: tuple[Ignored, ...] = ignore_option(
        "ids of its label maps, or colours as '#rrggbb', that stand for unknown pixels, such as 255, beside those that "
        "classes.json ignores: they are not measured"
    )
    reroll_class: str | None = option(
        None, "by default the one with the most pixels in the pictures, except the background"
    )
    alexnet_weights: Path | None = option(
        None, "safetensors file; by default torchvision downloads", check=existing_file
    )
    max_pictures: int | None = option(
        None, "number of pictures, the first ones; by default all", check=at_least(1)
    )
    seed: int = seed_option("fixes the rerolls")
    update_card: bool = option(False, "write the values into the folder --model")

    def check(self) -> None:
        """Refuse missing data, and a card that cannot be written."""
        super().check()
        if self.update_card and not Path(self.model).is_dir():
            raise ValueError(
                f"--update_card writes into a folder, and --model {self.model} is not one: download it"
            )
        refuse_other_folders("--data_dir, --split", self.data_dir, self.split)


def main(argv: Sequence[str] | None = None) -> None:
    """Print both answers as JSON; with ``--update_card``, write them into the model's card too."""
    settings = parse_settings(ReportConfig, argv, prog="appearance_report.py", description=__doc__ or "")
    model = GroupDNet.from_pretrained(settings.model)
    if settings.reroll_class is not None:
        model.labels.id_of(settings.reroll_class)  # refuses others, before the pictures are read
    split, config = Path(settings.data_dir) / settings.split, model.config
    edges = config.instance_edges
    data = open_split(split, model.labels, config.image_size, settings.ignore_id, instances=edges)
    count = min(len(data), settings.max_pictures or len(data))
    items = [data[i] for i in tqdm(range(count), desc="reading")]
    class_ = settings.reroll_class or main_class(model.labels, items)
    locality = reroll_locality(model, tqdm(items, desc="reroll"), class_, seed=settings.seed)
    distance = alexnet_lpips(settings.alexnet_weights)
    compared = compare_reconstructions(model, tqdm(items, desc="encode"), distance, seed=settings.seed)
    report = {f"reroll of {class_}": locality, "encode then decode (AlexNet LPIPS)": compared}
    print(json.dumps(report, indent=2))
    if settings.update_card:
        where = f"{Path(settings.data_dir).name} {settings.split}"
        model.card_facts = {
            **model.card_facts,
            "metrics": {
                **model.card_facts.get("metrics", {}),
                f"reroll of {class_}, change inside : outside ({where})": round(locality["ratio"], 2),
                f"encode then decode nearer than a sample, share of photos ({where})": round(
                    compared["share"], 3
                ),
                f"AlexNet LPIPS of encode then decode ({where})": round(compared["reconstruction"], 4),
                f"AlexNet LPIPS of a random sample ({where})": round(compared["sample"], 4),
            },
        }
        stored = GroupDNet.from_pretrained(settings.model, dtype="auto")
        stored.card_facts = model.card_facts
        stored.save_pretrained(settings.model)


if __name__ == "__main__":
    run_command("appearance_report.py", main, stopped="nothing is written")
