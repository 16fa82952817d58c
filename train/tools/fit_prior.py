"""Give a trained model a prior fitted to the codes of real pictures: ``python train/tools/fit_prior.py --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from groupdnet_hub import GroupDNet, PairedImages
from groupdnet_hub.training.config.network import read_ties


def main(argv: list[str] | None = None) -> None:
    """Load, fit, save; the weights of encoder and decoder stay as they are, in the precision of their file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder or Hub id")
    parser.add_argument("--data_dir", required=True, help="data set folder of the model's classes")
    parser.add_argument("--split", default="train")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--prior_rank", type=int, default=0, help="main directions of each class's codes")
    kind.add_argument(
        "--prior_codes", type=int, default=0, help="pictures of each class whose codes are kept"
    )
    parser.add_argument(
        "--prior_ties",
        nargs="+",
        metavar="CLASS+CLASS",
        help="with --prior_codes, classes whose new codes come from one picture, such as face+skin; by default the "
        "model's own",
    )
    parser.add_argument(
        "--nearest",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="fit to the codes of this share of each class's pictures: those that are decoded nearest to the photo",
    )
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--output_dir", required=True, help="folder to save the model in")
    args = parser.parse_args(argv)
    if max(args.prior_rank, args.prior_codes) < 1 or args.batch_size < 1:
        parser.error("--prior_rank, --prior_codes and --batch_size must be at least 1")

    if not 0 < args.nearest <= 1:
        parser.error(f"--nearest is {args.nearest}; it is a share, above 0 and at most 1")

    if args.prior_ties and not args.prior_codes:
        parser.error("--prior_ties needs --prior_codes")

    prior: dict[str, Any] = {
        "rank": args.prior_rank,
        "codes": args.prior_codes,
        "ties": read_ties(args.prior_ties),
    }
    model = GroupDNet.from_pretrained(args.model).with_prior(**prior)
    data = PairedImages.from_folder(
        args.data_dir, model.config.image_size, split=args.split, labels=model.labels
    )
    model.fit_prior(_batches(data, args.batch_size), nearest=args.nearest)
    stored = GroupDNet.from_pretrained(args.model, dtype="auto").with_prior(**prior)
    stored.prior.load_state_dict(model.prior.state_dict())
    stored.to(stored.dtype)
    stored.save_pretrained(args.output_dir)
    print(f"fitted to the codes of {len(data)} pictures; saved {args.output_dir}")


def _batches(data: PairedImages, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in tqdm(DataLoader(data, batch_size=size), desc="encode"):
        yield batch["image"], batch["label"]


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"fit_prior.py: {error}")
