"""The discriminator's flags of train.py, and what is refused of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from groupdnet_hub.baselines import SYSTEMS
from groupdnet_hub.config.validation import DISCRIMINATOR_NORMS, DISCRIMINATORS
from groupdnet_hub.runs.flags import count_problem


def add_discriminator_flags(parser: argparse.ArgumentParser, flag: Callable[[str, str], None]) -> None:
    """Add them.

    Args:
        flag: adds a switch that is off by default, from its name and its help.
    """
    add = parser.add_argument
    add(
        "--discriminator",
        choices=DISCRIMINATORS,
        help="what judges pictures: the paper's multi-scale network, or one that says of each pixel which class it "
        "shows or that it is fake; by default the model's own, multiscale for a new model",
    )
    add(
        "--discriminator_width",
        type=int,
        help="channels of the discriminator's first layer; by default the model's own, for a new discriminator 64, or "
        "32 with --discriminator segmentation (16 is advised on a CPU)",
    )
    add(
        "--labelmix_weight",
        type=float,
        help="weight of LabelMix with --discriminator segmentation, by default 10: what it says of a mixed picture "
        "should be what it says of the parts; 0 leaves it out",
    )
    add(
        "--discriminator_norm",
        choices=DISCRIMINATOR_NORMS,
        help="instance normalisation in the multi-scale discriminator (Fig. 7), or none: spectral normalisation alone, "
        "of all its layers, where the system has it; by default as the model has it, instance for a new one",
    )
    add(
        "--discriminator_crop",
        type=int,
        help="side of a window that the discriminator sees of each picture beside the whole, around a random class, "
        "small ones enlarged; its losses are the means of both",
    )
    flag(
        "--save_discriminator",
        "save the discriminator beside the model, in the final folder and in each checkpoint; a run that starts from "
        "that folder takes it up, also with --grow and --init_class",
    )
    add(
        "--discriminator_warmup_steps",
        type=int,
        default=0,
        help="first steps of the run in which only the discriminator learns, on pictures of the model as it is; for a "
        "pretrained model whose discriminator was not saved",
    )
    add(
        "--adversarial_warmup_steps",
        type=int,
        default=0,
        help="steps, after those, over which the weights of the adversarial loss and of feature matching rise linearly "
        "from 0",
    )
    flag("--diffaugment", "augment what the discriminator sees; for small data")
    add(
        "--diffaugment_target",
        type=float,
        help="augment only as many pictures as keeps the mean sign of what the discriminator says of training pictures "
        "at this value (0.6 in the paper on it), which is near 1 where it knows them by heart; by default all of them",
    )
    add(
        "--diffaugment_rise",
        type=int,
        default=10_000,
        help="pictures in which that share can rise from 0 to 1, or fall",
    )
    add(
        "--r1_weight",
        type=float,
        default=0.0,
        help="weight of the discriminator's squared gradient on training pictures, halved (R1); 0 is the paper's",
    )
    add(
        "--r1_interval",
        type=int,
        default=16,
        help="steps from one R1 to the next, which counts for all of them",
    )


def discriminator_problem(args: argparse.Namespace) -> str | None:
    """What is wrong with them; None if nothing is."""
    if args.labelmix_weight is not None and args.labelmix_weight < 0:
        return f"--labelmix_weight is {args.labelmix_weight}; it must be 0 or more"
    starts_with_one = args.config or args.pretrained_model_name_or_path
    kind = args.discriminator or (None if starts_with_one else "multiscale")
    if args.labelmix_weight is not None and kind == "multiscale":
        return "--labelmix_weight needs --discriminator segmentation: only a discriminator of pixels has LabelMix"
    if args.discriminator == "segmentation" and args.model and SYSTEMS[args.model].objective != "hinge":
        return (
            f"--discriminator segmentation does not fit --model {args.model}, which has an adversarial loss of its "
            "own: leave it out, or train a GroupDNet, a SPADE or a system between them"
        )
    for name in ("r1_weight", "discriminator_warmup_steps", "adversarial_warmup_steps"):
        if getattr(args, name) < 0:
            return f"--{name} is {getattr(args, name)}; it must be 0 or more"
    if args.diffaugment_target is not None:
        if not args.diffaugment:
            return "--diffaugment_target needs --diffaugment, which it controls"
        if not 0 < args.diffaugment_target < 1:
            return f"--diffaugment_target is {args.diffaugment_target}; it must lie between 0 and 1"
    return count_problem(
        args, ("discriminator_width", "discriminator_crop", "r1_interval", "diffaugment_rise")
    )
