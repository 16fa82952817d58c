"""Print the hours and the cost of the paper's three runs as a Markdown table: ``python train/tools/training_cost.py``.

The arithmetic of a step is counted from the networks; the fraction of a card's rate that a step reaches is assumed
unless it is measured: ``--pictures_per_second deepfashion=120`` replaces the estimate by a measured rate.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from groupdnet_hub import PRESETS, GroupDNet, GroupDNetConfig
from groupdnet_hub.models.discriminator import MultiScaleDiscriminator
from groupdnet_hub.runs.flags import FlagParser
from groupdnet_hub.training.objectives.losses import PERCEPTUAL_LAYERS

# Training pictures and epochs of the paper (appendices B and A).
RUNS = {"deepfashion": (29_000, 100), "cityscapes": (3_000, 200), "ade20k": (20_210, 200)}


@dataclass(frozen=True)
class NetworkMacs:
    """Multiply-accumulates of one forward pass over one picture.

    Attributes:
        encoder: encoder.
        decoder: decoder on a label map of its own, with every window convolved (the form for GPUs).
        discriminator: discriminator, both scales.
        perceptual: VGG19 up to relu5_1.
    """

    encoder: int
    decoder: int
    discriminator: int
    perceptual: int

    @property
    def step(self) -> int:
        """Multiply-accumulates of one picture in a training step.

        A backward pass costs a forward one for the inputs and another for the weights. Encoder and decoder: forward
        and backward, 3. Discriminator: in the generator's step the generated and the real picture forward, and back to
        the input, 4; in its own step both forward and backward, 6. VGG19: both forward, the generated one back to the
        input, 3.
        """
        return 3 * (self.encoder + self.decoder) + 10 * self.discriminator + 3 * self.perceptual


def network_macs(config: GroupDNetConfig) -> NetworkMacs:
    """Count the operations of a configuration's networks, on tensors with shapes and no values."""
    import torchvision  # only for the shapes of VGG19

    height, width = config.image_size
    with FakeTensorMode():
        model, discriminator = GroupDNet(config).train(), MultiScaleDiscriminator(config)
        trunk = torchvision.models.vgg19(weights=None).features[: PERCEPTUAL_LAYERS["vgg19"][-1] + 1]
        label = torch.zeros(1, height, width, dtype=torch.int64)
        image = torch.zeros(1, 3, height, width)
        edges = torch.zeros(1, 1, height, width) if config.instance_edges else None
        codes = torch.zeros(1, *config.code_shape)
        seen = torch.zeros(1, config.discriminator_label_channels + 3, height, width)

        return NetworkMacs(
            encoder=_macs(lambda: model.encoder(image, label)),
            decoder=_macs(lambda: model.decoder(codes, label, edges)),
            discriminator=_macs(lambda: discriminator(seen)),
            perceptual=_macs(lambda: trunk(image)),
        )


def _macs(forward: Callable[[], Any]) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward()
    return int(counter.get_total_flops()) // 2


@dataclass(frozen=True)
class Assumptions:
    """Assumptions about what is not counted.

    Attributes:
        card_tflops: bf16 matrix rate of one card, in 10^12 operations per second; a multiply-accumulate is two of them.
        share: fraction of that rate that a training step reaches.
        price: price of one card for an hour, in dollars.
        scaling: rate of several cards as a fraction of the sum of their rates.
    """

    card_tflops: float = 790.0
    share: float = 0.30
    price: float = 2.50
    scaling: float = 0.90

    def __post_init__(self) -> None:
        for name in ("card_tflops", "price"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"--{name} is {getattr(self, name)}; it must be above 0")
        for name in ("share", "scaling"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"--{name} is {getattr(self, name)}; it is a fraction, above 0 and at most 1"
                )

    def rate(self, step_macs: int) -> float:
        """Return pictures per second on one card."""
        return self.share * self.card_tflops * 1e12 / (2 * step_macs)


@dataclass(frozen=True)
class Cost:
    """One run on n cards: rate in pictures per second, hours, price in dollars."""

    rate: float
    hours: float
    dollars: float


def cost(pictures: int, rate: float, cards: int, assumed: Assumptions) -> Cost:
    """Return the cost of a run.

    Args:
        pictures: number of pictures of all epochs together.
        rate: pictures per second on one card.
        cards: number of cards.
        assumed: assumptions.
    """
    together = rate if cards == 1 else rate * cards * assumed.scaling
    hours = pictures / together / 3600
    return Cost(together, hours, hours * cards * assumed.price)


def table(
    macs: Mapping[str, NetworkMacs], measured: Mapping[str, float], cards: Sequence[int], assumed: Assumptions
) -> str:
    """Return the Markdown table; every value that rests on an assumption has a ``~``.

    Args:
        macs: operations by preset.
        measured: measured rates by preset.
        cards: numbers of cards.
        assumed: assumptions.
    """
    header = ["preset", "pictures x epochs", "TFLOP per picture", "pictures/s on 1 card"]
    for count in cards:
        header += [f"hours on {count}", f"$ on {count}"]
    lines = [header, ["---"] * len(header)]
    for name, networks in macs.items():
        pictures, epochs = RUNS[name]
        estimated = name not in measured
        rate = measured.get(name) or assumed.rate(networks.step)
        kind = "estimated" if estimated else "measured"
        row = [name, f"{pictures:,} x {epochs}", f"{2 * networks.step / 1e12:.2f}"]
        row.append(f"{'~' if estimated else ''}{rate:.0f} ({kind})")
        for count in cards:
            found = cost(pictures * epochs, rate, count, assumed)
            row += [f"{'~' if estimated or count > 1 else ''}{found.hours:.1f}", f"~{found.dollars:.0f}"]
        lines.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def notes(assumed: Assumptions, cards: Sequence[int]) -> str:
    """Return the sentence about what the table assumes."""
    several = f", several cards at {assumed.scaling:.0%} of the sum of their rates" if max(cards) > 1 else ""
    return (
        f"~ rests on an assumption: a step that reaches {assumed.share:.0%} of a card's {assumed.card_tflops:g} "
        f"TFLOP/s (bf16){several}, ${assumed.price:.2f} per card and hour."
    )


def read_rates(given: Sequence[str]) -> dict[str, float]:
    """Return the rates of ``deepfashion=120 ...`` by preset.

    Raises:
        ValueError: for another form, another preset or an invalid rate.
    """
    rates = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            rate = float(value)
        except ValueError:
            rate = 0.0
        if name not in PRESETS or not 0 < rate < float("inf"):
            raise ValueError(
                f"--pictures_per_second takes PRESET=RATE, such as deepfashion=120, not {text!r}; the presets are "
                f"{', '.join(PRESETS)}"
            )
        rates[name] = rate
    return rates


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and its assumptions."""
    parser = FlagParser(
        prog="training_cost.py", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add, default = parser.add_argument, Assumptions()
    add(
        "--pictures_per_second",
        nargs="+",
        default=[],
        metavar="PRESET=RATE",
        help="rates measured on one card, in place of estimates",
    )
    add("--cards", type=int, nargs="+", default=[1, 8], help="numbers of cards")
    add("--card_tflops", type=float, default=default.card_tflops, help="bf16 matrix rate of a card, TFLOP/s")
    add("--share", type=float, default=default.share, help="fraction of that rate that a step reaches")
    add("--price", type=float, default=default.price, help="dollars per card and hour")
    add(
        "--scaling",
        type=float,
        default=default.scaling,
        help="rate of several cards, as a fraction of the sum",
    )
    args = parser.parse_args(argv)
    try:
        if min(args.cards) < 1:
            raise ValueError(f"--cards is {min(args.cards)}; it must be at least 1")
        assumed = Assumptions(args.card_tflops, args.share, args.price, args.scaling)
        rates = read_rates(args.pictures_per_second)
    except ValueError as error:
        parser.error(str(error))
    macs = {name: network_macs(GroupDNetConfig.preset(name)) for name in RUNS}
    print(table(macs, rates, args.cards, assumed))
    print(f"\n{notes(assumed, args.cards)}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"training_cost.py: {error}")
