"""Settings of the discriminator, and of what it sees and how it is held back."""

from __future__ import annotations

from dataclasses import dataclass

from groupdnet_hub.config.validation import DISCRIMINATOR_NORMS, DISCRIMINATORS
from groupdnet_hub.runs.settings import Settings, at_least, option, strictly_between


@dataclass(frozen=True, kw_only=True)
class DiscriminatorSettings(Settings):
    """Discriminator."""

    discriminator: str | None = option(
        None,
        "what judges pictures: the paper's multi-scale network, or one that says of each pixel which class it "
        "shows or that it is fake; by default the model's own, multiscale for a new model",
        choices=DISCRIMINATORS,
        on_resume="network",
    )
    discriminator_width: int | None = option(
        None,
        "channels of the discriminator's first layer; by default the model's own, for a new discriminator 64, or "
        "32 with --discriminator segmentation (16 is advised on a CPU)",
        check=at_least(1),
        on_resume="network",
    )
    labelmix_weight: float | None = option(
        None,
        "weight of LabelMix with --discriminator segmentation, by default 10: what it says of a mixed picture "
        "should be what it says of the parts; 0 leaves it out",
        check=at_least(0),
    )
    discriminator_norm: str | None = option(
        None,
        "instance normalisation in the multi-scale discriminator (Fig. 7), or none: spectral normalisation alone, "
        "of all its layers, where the system has it; by default as the model has it, instance for a new one",
        choices=DISCRIMINATOR_NORMS,
        on_resume="network",
    )
    discriminator_crop: int | None = option(
        None,
        "side of a window that the discriminator sees of each picture beside the whole, around a random class, "
        "small ones enlarged; its losses are the means of both",
        check=at_least(1),
    )
    save_discriminator: bool = option(
        False,
        "save the discriminator beside the model, in the final folder and in each checkpoint; a run that starts from "
        "that folder takes it up, also with --grow and --init_class",
        on_resume="free",
    )
    discriminator_warmup_steps: int = option(
        0,
        "first steps of the run in which only the discriminator learns, on pictures of the model as it is; for a "
        "pretrained model whose discriminator was not saved",
        check=at_least(0),
    )
    adversarial_warmup_steps: int = option(
        0,
        "steps, after those, over which the weights of the adversarial loss and of feature matching rise linearly "
        "from 0",
        check=at_least(0),
    )
    diffaugment: bool = option(False, "augment what the discriminator sees; for small data")
    diffaugment_target: float | None = option(
        None,
        "augment only as many pictures as keeps the mean sign of what the discriminator says of training pictures "
        "at this value (0.6 in the paper on it), which is near 1 where it knows them by heart; by default all of them",
        check=strictly_between(0, 1),
    )
    diffaugment_rise: int = option(
        10_000, "pictures in which that fraction can rise from 0 to 1, or fall", check=at_least(1)
    )
    r1_weight: float = option(
        0.0,
        "weight of the discriminator's squared gradient on training pictures, halved (R1); 0 is the paper's",
        check=at_least(0),
    )
    r1_interval: int = option(
        16, "steps from one R1 to the next, which counts for all of them", check=at_least(1)
    )

    def check(self) -> None:
        """Refuse details of an augmentation or a penalty that is off."""
        super().check()
        if self.diffaugment_target is not None and not self.diffaugment:
            raise ValueError("--diffaugment_target needs --diffaugment, which it controls")
        if self.diffaugment_target is None:
            self.refuse_given(("diffaugment_rise",), "without --diffaugment_target")
        if not self.r1_weight:
            self.refuse_given(("r1_interval",), "without --r1_weight")
