"""The discriminator's flags of train.py, and what is refused of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from checked_flags import count_problem

from groupdnet_hub.config_checks import DISCRIMINATOR_NORMS


def add_discriminator_flags(parser: argparse.ArgumentParser, flag: Callable[[str, str], None]) -> None:
    """Add them.

    Args:
        flag: adds a switch that is off by default, from its name and its help.
    """
    add = parser.add_argument
    add("--discriminator_width", type=int, help="channels of the discriminator's first layer")
    add(
        "--discriminator_norm",
        choices=DISCRIMINATOR_NORMS,
        help="instance normalisation in the discriminator (Fig. 7), or none: spectral normalisation alone, of all its "
        "layers; by default as the model has it, instance for a new one",
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
    for name in ("r1_weight", "discriminator_warmup_steps", "adversarial_warmup_steps"):
        if getattr(args, name) < 0:
            return f"--{name} is {getattr(args, name)}; it must be 0 or more"
    return count_problem(args, ("discriminator_width", "r1_interval"))
