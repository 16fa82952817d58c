"""Two questions to a trained model, on real pictures: does a reroll stay in its class, and does encode see the photo?

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

from groupdnet_hub import GroupDNet, LabelSet, PairedImages
from groupdnet_hub.metrics import alexnet_lpips
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.settings import Settings, option, seed_option


def main_class(labels: LabelSet, items: Iterable[dict[str, Tensor]]) -> str:
    """Return the name of the class with the most pixels in all pictures, leaving ``background`` aside."""
    counts = torch.zeros(len(labels), dtype=torch.int64)
    for item in items:
        counts += item["label"].flatten().bincount(minlength=len(labels))
    if "background" in labels.names and len(labels) > 1:
        counts[labels.id_of("background")] = -1
    return labels.names[int(counts.argmax())]


@torch.inference_mode()
def reroll_locality(
    model: GroupDNet, items: Iterable[dict[str, Tensor]], class_: str, *, seed: int = 0
) -> dict[str, float]:
    """How much more a reroll of one class changes pixels inside its region than outside.

    Returns:
        ``inside`` and ``outside``: mean absolute change of a pixel value (scale 0..255) over all pictures that show
        the class; ``ratio``; ``pictures``.
    """
    generator, class_id = torch.Generator().manual_seed(seed), model.labels.id_of(class_)
    changes: list[tuple[float, float]] = []
    for item in items:
        label = item["label"][None]
        region = label[0] == class_id
        if not region.any():
            continue
        codes = model.sample_codes(generator=generator)
        rerolled = model.redraw(codes, class_id, generator=generator)
        scene = model.prepare(label)
        change = (model.decode(codes, scene) - model.decode(rerolled, scene)).abs().mean(dim=1)[0] * 127.5
        changes.append((float(change[region].mean()), float(change[~region].mean())))
    inside, outside = np.mean(changes, axis=0)
    return {
        "inside": float(inside),
        "outside": float(outside),
        "ratio": float(inside / outside),
        "pictures": len(changes),
    }


@torch.inference_mode()
def reconstruction_share(
    model: GroupDNet, items: Iterable[dict[str, Tensor]], distance: nn.Module, *, seed: int = 0
) -> dict[str, float]:
    """Is ``decode(encode(photo))`` nearer to the photo than a random sample on the same map?

    Args:
        model: the model.
        items: ``image`` [3, H, W] in [-1, 1] and ``label`` [H, W] of each photo.
        distance: callable on two batches [1, 3, H, W] in [-1, 1], such as LPIPS.
        seed: seed of the random samples.

    Returns:
        ``share`` of the photos for which it is; mean distances ``reconstruction`` and ``sample``; ``pictures``.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for item in items:
        image, label = item["image"][None], item["label"][None]
        scene = model.prepare(label)
        codes = (model.encode(image, label).mode(), model.sample_codes(generator=generator))
        pairs.append([float(distance(model.decode(one, scene), image)) for one in codes])
    found = np.array(pairs)
    return {
        "share": float((found[:, 0] < found[:, 1]).mean()),
        "reconstruction": float(found[:, 0].mean()),
        "sample": float(found[:, 1].mean()),
        "pictures": len(found),
    }


@dataclass(frozen=True, kw_only=True)
class ReportConfig(Settings):
    """Model and data."""

    model: str = option(help="folder or Hub id")
    data_dir: str = option(help="data set folder with a validation split")
    split: str = option("validation", "its split")
    reroll_class: str | None = option(
        None, "by default the one with the most pixels in the pictures, but for the background"
    )
    alexnet_weights: Path | None = option(None, "safetensors file; by default torchvision downloads")
    max_pictures: int | None = option(None, "use only the first so many pictures")
    seed: int = seed_option("fixes the rerolls")
    update_card: bool = option(False, "write the figures into the folder --model")


def main(argv: Sequence[str] | None = None) -> None:
    """Print both answers as JSON; with ``--update_card`` also write them into the model's card."""
    settings = parse_settings(ReportConfig, argv, prog="appearance_report.py", description=__doc__ or "")
    model = GroupDNet.from_pretrained(settings.model)
    data = PairedImages.from_folder(
        settings.data_dir, model.config.image_size, split=settings.split, labels=model.labels
    )
    count = min(len(data), settings.max_pictures or len(data))
    items = [data[i] for i in tqdm(range(count), desc="reading")]
    class_ = settings.reroll_class or main_class(model.labels, items)
    locality = reroll_locality(model, tqdm(items, desc="reroll"), class_, seed=settings.seed)
    distance = alexnet_lpips(settings.alexnet_weights)
    share = reconstruction_share(model, tqdm(items, desc="encode"), distance, seed=settings.seed)
    report = {f"reroll of {class_}": locality, "encode then decode (AlexNet LPIPS)": share}
    print(json.dumps(report, indent=2))
    if settings.update_card:
        where = f"{Path(settings.data_dir).name} {settings.split}"
        model.card_facts = {
            **model.card_facts,
            "metrics": {
                **model.card_facts.get("metrics", {}),
                f"reroll of {class_}, change inside : outside ({where})": round(locality["ratio"], 2),
                f"encode then decode nearer than a sample, share of photos ({where})": round(
                    share["share"], 3
                ),
                f"AlexNet LPIPS of encode then decode ({where})": round(share["reconstruction"], 4),
                f"AlexNet LPIPS of a random sample ({where})": round(share["sample"], 4),
            },
        }
        stored = GroupDNet.from_pretrained(settings.model, dtype="auto")
        stored.card_facts = model.card_facts
        stored.save_pretrained(settings.model)


if __name__ == "__main__":
    main()
