"""Settings of the losses: their weights, and what the perceptual and the redraw loss look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from groupdnet_hub.runs.settings import Settings, at_least, existing_file, in_range, option


@dataclass(frozen=True, kw_only=True)
class LossSettings(Settings):
    """Losses."""

    perceptual_net: Literal["vgg19", "vgg16", "none"] = option("vgg19", "net of the perceptual loss")
    perceptual_weights: str | None = option(
        None,
        "safetensors file of that net's weights; by default torchvision downloads them",
        check=existing_file,
        on_resume="file_name",
    )
    perceptual_normalise: bool = option(
        False, "give that net pictures normalised as it was trained; the paper's code does not"
    )
    perceptual_crop: int | None = option(
        None,
        "side of the window that net sees of each picture, around a random class, small ones enlarged; by default "
        "the whole picture",
        check=at_least(1),
    )
    adversarial_weight: float = option(1.0, "weight of the hinge loss", check=at_least(0))
    feature_matching_weight: float | None = option(
        None,
        "weight of feature matching; by default 10, and 0 with --discriminator segmentation, whose paper matches "
        "none: with a weight the features of its decoder are matched",
        check=at_least(0),
    )
    class_balance: float = option(
        0.0,
        "how much more places of small classes count in the adversarial loss, feature matching and the distance "
        "to the picture: from 0, by area as in the paper, to 1, every class of a picture alike; --discriminator "
        "segmentation balances all but its loss on fake pixels by itself",
        check=in_range(0, 1),
    )
    perceptual_weight: float = option(10.0, "weight of the perceptual loss", check=at_least(0))
    l1_weight: float | None = option(
        None,
        "weight of the distance to the picture; by default the system's (10 for BicycleGAN and DSCGAN, else 0)",
        check=at_least(0),
    )
    latent_weight: float = option(
        0.5, "weight of BicycleGAN's distance to the random code", check=at_least(0)
    )
    diversity_weight: float = option(8.0, "weight of DSCGAN's regulariser", check=at_least(0))
    redraw_weight: float = option(
        0.0,
        "weight of what changes outside a class when its code is exchanged with another picture's; 0 is the "
        "paper's: no such loss",
        check=at_least(0),
    )
    redraw_memory: int | None = option(
        None,
        "take those codes from a memory of this many pictures of each class, rare classes more often; by default "
        "from the picture before in the batch",
        check=at_least(1),
    )
    redraw_interval: int = option(
        1, "measure that loss only at every N-th step, where it counts N times", check=at_least(1)
    )
    redraw_window: float | None = option(
        None,
        "fraction of height and width, up to 1, of the window of each picture that is drawn again for that loss, any "
        "place as likely: the mean over windows is the loss of whole pictures, at a third of its cost; by default 0.5, "
        "or 1 where the norms are not of whole batches or the pictures are small",
        check=in_range(0.1, 1, "it is a fraction of height and width, from 0.1 to 1"),
    )
    kl_weight: float | None = option(
        None,
        "weight of the KL divergence per picture; by default the system's (0.4: the paper's 0.05 x 8 pictures)",
        check=at_least(0),
    )
    kl_free_nats: float = option(
        0.0,
        "KL divergence that the codes of each class may have at no cost (free bits); 0 is the paper's",
        check=at_least(0),
    )
    kl_weight_start: float | None = option(
        None, "weight of the KL divergence at the first step; rises linearly", check=at_least(0)
    )
    kl_warmup_steps: int = option(0, "steps over which the KL weight rises to --kl_weight", check=at_least(0))

    def check(self) -> None:
        """Refuse details of a loss that is not measured."""
        super().check()
        if self.perceptual_net == "none":
            names = ("perceptual_crop", "perceptual_weights", "perceptual_weight", "perceptual_normalise")
            self.refuse_given(names, "with --perceptual_net none")
        if not self.redraw_weight:
            self.refuse_given(
                ("redraw_memory", "redraw_interval", "redraw_window"), "without --redraw_weight"
            )
        if not self.kl_warmup_steps:
            self.refuse_given(
                ("kl_weight_start",), "without --kl_warmup_steps", "give the steps over which it rises"
            )
        if self.kl_warmup_steps and self.kl_weight_start is None:
            raise ValueError("--kl_warmup_steps needs --kl_weight_start")
