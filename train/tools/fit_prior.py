"""Fit the prior of a trained model to the codes of real pictures: ``python train/tools/fit_prior.py --help``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from groupdnet_hub import GroupDNet
from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.splits import open_split
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.ignored import ignore_option
from groupdnet_hub.runs.scripts import run_command
from groupdnet_hub.runs.settings import Settings, existing_folder, option, refuse_other_folders
from groupdnet_hub.training.config.network import read_ties


@dataclass(frozen=True, kw_only=True)
class PriorConfig(Settings):
    """Settings of fit_prior.py: model, data, and the prior."""

    model: str = option(help="folder or Hub id")
    data_dir: str = option(help="data set folder of the model's classes", check=existing_folder)
    split: str = option("train", "its split")
    ignore_id: tuple[Ignored, ...] = ignore_option(
        "ids of its label maps, or colours as '#rrggbb', that stand for unknown pixels, such as 255, beside those that "
        "classes.json ignores: they belong to no code"
    )
    prior_rank: int = option(0, "number of principal directions of each class's codes")
    prior_codes: int = option(0, "number of pictures per class whose codes are stored")
    prior_ties: tuple[str, ...] | None = option(
        None,
        "with --prior_codes, classes whose new codes come from one picture, such as face+skin; by default the "
        "model's own",
        metavar="CLASS+CLASS",
    )
    nearest: float = option(
        1.0,
        "fit to the codes of this fraction of each class's pictures: those that are decoded nearest to the photo",
        metavar="FRACTION",
    )
    batch_size: int = option(8, "pictures that are encoded together")
    output_dir: str = option(help="folder to save the model in")

    def check(self) -> None:
        """Refuse impossible priors."""
        super().check()
        if self.prior_rank and self.prior_codes:
            raise ValueError("--prior_rank and --prior_codes are two priors: give one of them")
        if max(self.prior_rank, self.prior_codes) < 1 or self.batch_size < 1:
            raise ValueError("--prior_rank, --prior_codes and --batch_size must be at least 1")
        if not 0 < self.nearest <= 1:
            raise ValueError(f"--nearest is {self.nearest}; it is a fraction, above 0 and at most 1")
        if self.prior_ties and not self.prior_codes:
            raise ValueError("--prior_ties needs --prior_codes")
        refuse_other_folders("--data_dir, --split", self.data_dir, self.split)


def main(argv: Sequence[str] | None = None) -> None:
    """Load, fit and save a model; the weights of encoder and decoder do not change, nor does their precision."""
    settings = parse_settings(PriorConfig, argv, prog="fit_prior.py", description=__doc__ or "")
    prior: dict[str, Any] = {
        "rank": settings.prior_rank,
        "codes": settings.prior_codes,
        "ties": read_ties(settings.prior_ties),
    }
    model = GroupDNet.from_pretrained(settings.model).with_prior(**prior)
    instances = model.config.instance_edges and settings.nearest < 1  # encoding alone needs none
    split = Path(settings.data_dir) / settings.split
    data = open_split(split, model.labels, model.config.image_size, settings.ignore_id, instances=instances)
    loader = DataLoader(data, settings.batch_size, generator=torch.Generator())  # not the global one
    model.fit_prior(tqdm(loader, desc="encode"), nearest=settings.nearest)
    stored = GroupDNet.from_pretrained(settings.model, dtype="auto").with_prior(**prior)
    stored.prior.load_state_dict(model.prior.state_dict())
    stored.to(stored.dtype)
    stored.save_pretrained(settings.output_dir)
    print(f"fitted to the codes of {len(data)} pictures; saved {settings.output_dir}")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    run_command("fit_prior.py", main, stopped="nothing is written")
