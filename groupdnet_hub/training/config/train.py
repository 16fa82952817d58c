"""All settings of a training run: as they are given, and complete once the system is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from groupdnet_hub.baselines import SYSTEMS
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.training.config.data import DataSettings
from groupdnet_hub.training.config.data_check import DataCheckSettings
from groupdnet_hub.training.config.discriminator import DiscriminatorSettings
from groupdnet_hub.training.config.losses import LossSettings
from groupdnet_hub.training.config.network import NetworkSettings
from groupdnet_hub.training.config.optimisation import ComputationSettings, OptimisationSettings
from groupdnet_hub.training.config.output import OutputSettings
from groupdnet_hub.training.config.quality import QualitySettings
from groupdnet_hub.training.config.rates import DECAY_START, LABELMIX_WEIGHT, RATES
from groupdnet_hub.training.config.trackers import TrackerSettings

# Devices over which the paper's unsynchronised batch norms were spread (section 4.1).
_PAPER_DEVICES = 4


# Fields stand in the order of the bases from the last to the first.
@dataclass(frozen=True, kw_only=True)
class TrainConfig(
    TrackerSettings,
    OutputSettings,
    QualitySettings,
    ComputationSettings,
    OptimisationSettings,
    DiscriminatorSettings,
    LossSettings,
    NetworkSettings,
    DataCheckSettings,
    DataSettings,
):
    """Settings of a training run, by the names that users of Hugging Face's training examples know.

    Attributes:
        args_file: file that ``--args_file`` named, if any; its flags are among the settings.
    """

    args_file: str | None = field(default=None, compare=False, metadata={"on_resume": "free"})

    def check(self) -> None:
        """Refuse settings of two subjects that do not go together."""
        super().check()
        if self.streaming and not self.max_train_steps:
            raise ValueError("--streaming needs --max_train_steps, because the length is not known")
        if self.streaming and (self.check_data is not None or self.skip_bad_items):
            flag = "--skip_bad_items" if self.check_data is None else f"--check_data {self.check_data}"
            raise ValueError(
                f"{flag} has no effect on a stream, whose items are not known beforehand: leave it out, or leave out "
                "--streaming"
            )
        if self.on_nan == "skip" and self.mixed_precision == "fp16":
            raise ValueError(
                "--on_nan skip has no effect with --mixed_precision fp16, whose loss scaling skips such updates by "
                "itself: leave it out, or take bf16"
            )
        if self.evaluates and not self.has_validation:
            flag = "--evaluation_steps" if self.keep_best is None else f"--keep_best {self.keep_best}"
            where = (
                f"{self.train_data_dir[0]} has no" if self.train_data_dir else "--dataset_name alone has no"
            )
            raise ValueError(
                f"{flag} measures pictures of a validation split, and {where} validation/: name a --train_data_dir "
                "with one, or leave it out"
            )
        if self.hub_token and not (
            self.push_to_hub or self.dataset_name or self.pretrained_model_name_or_path
        ):
            raise ValueError("--hub_token has no effect: nothing of this run is on the Hub; leave it out")
        if self.class_order == "likeness" and (
            not self.train_data_dir or (self.streaming and not self.dataset_name)
        ):
            raise ValueError(
                "--class_order likeness looks at the pictures: it needs a --train_data_dir of files"
            )
        if not self.exists:
            objective = SYSTEMS[self.system].objective
            for name, system in (("latent_weight", "BicycleGAN"), ("diversity_weight", "DSCGAN")):
                if objective != SYSTEMS[system].objective:
                    self.refuse_given((name,), f"without --model {system}")
        # What is not named is the model's own, and a new model's is multi-scale.
        kind = self.discriminator or (None if self.exists else "multiscale")
        if self.labelmix_weight is not None and kind == "multiscale":
            raise ValueError(
                "--labelmix_weight needs --discriminator segmentation: only a discriminator of pixels has LabelMix"
            )
        if kind == "segmentation" and self.model and SYSTEMS[self.model].objective != "hinge":
            raise ValueError(
                f"--discriminator segmentation does not fit --model {self.model}, which has an adversarial loss of its "
                "own: leave it out, or train a GroupDNet, a SPADE or a system between them"
            )

    def resolved(self, objective: str, num_processes: int) -> ResolvedTrainConfig:
        """Return the settings with what they leave to the system: rates, weights, batch normalisation.

        Args:
            objective: one of ``RATES``.
            num_processes: processes that train together.

        Raises:
            ValueError: for a weight of LabelMix without a per-pixel discriminator.
        """
        rates = RATES[objective]
        left_open = {
            "learning_rate": rates.generator,
            "discr_learning_rate": rates.discriminator,
            "kl_weight": rates.kl_weight,
            "l1_weight": rates.l1_weight,
            "feature_matching_weight": rates.feature_matching_weight,
            "sync_batch_norm": self.exists or SYSTEMS[self.system].synchronised,
            "lr_decay_start": DECAY_START[self.lr_scheduler],
        }
        values: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        values |= {name: value for name, value in left_open.items() if values[name] is None}
        if objective == "segmentation":
            values["discriminator"] = objective
            if self.labelmix_weight is None:
                values["labelmix_weight"] = LABELMIX_WEIGHT
        elif self.labelmix_weight is not None:
            raise ValueError(
                "--labelmix_weight has no effect: this model's discriminator is multi-scale. Leave it out, or give "
                "--discriminator segmentation"
            )
        if self.batch_norm_parts is None:
            parts = max(1, _PAPER_DEVICES // num_processes)
            values["batch_norm_parts"] = 1 if values["sync_batch_norm"] else parts
        return ResolvedTrainConfig(**values)


@dataclass(frozen=True, kw_only=True)
class ResolvedTrainConfig(TrainConfig):
    """Settings of a run whose system is known: nothing is left to it."""

    learning_rate: float
    discr_learning_rate: float
    kl_weight: float
    l1_weight: float
    feature_matching_weight: float
    sync_batch_norm: bool
    batch_norm_parts: int
    lr_decay_start: float

    def __post_init__(self) -> None:
        """Check nothing: what was given is checked, and what the system adds may break its rules, such as 4 parts of
        2 pictures."""


def parse_train_config(argv: Sequence[str] | None = None) -> TrainConfig:
    """Return the settings of train.py's command line and ``--args_file``; wrong ones end with exit status 2."""
    return parse_settings(
        TrainConfig,
        argv,
        prog="train.py",
        description="Train or fine-tune a GroupDNet, or a system that it is compared with, on label maps.",
        args_file=True,
    )
