"""Settings of what is measured on validation pictures while a run trains."""

from __future__ import annotations

from dataclasses import dataclass

from groupdnet_hub.runs.measuring.networks import MeasuringSettings
from groupdnet_hub.runs.settings import at_least, option

# Metrics by name, and whether more is better.
HIGHER_IS_BETTER = {
    "frechet": False,
    "kid": False,
    "fid": False,
    "kid_inception": False,
    "lpips": True,
    "mcsd": True,
    "mocd": False,
}
# Steps between evaluations with --keep_best alone: with the other defaults they cost less than 3 % of a run's time.
DEFAULT_INTERVAL = 2000
# Settings of measuring that have no effect where nothing is measured.
_DETAILS = (
    *("evaluation_metrics", "num_validation_pictures", "num_diversity_pictures", "num_diversity_pairs"),
    *("alexnet_weights", "inception_weights", "frechet_net", "frechet_weights"),
)


@dataclass(frozen=True, kw_only=True)
class QualitySettings(MeasuringSettings):
    """Quality while it trains."""

    evaluation_steps: int | None = option(
        None,
        "steps between measurements of the model on pictures of the validation split; the last step is measured too; "
        f"by default {DEFAULT_INTERVAL} with --keep_best, and without it nothing is measured",
        check=at_least(1),
        on_resume="free",
    )
    evaluation_metrics: tuple[str, ...] | None = option(
        None,
        "what is measured, by the names and the code of evaluate.py; by default frechet, lpips where there are codes, "
        "mcsd and mocd where classes have codes, and what --keep_best names",
        choices=tuple(HIGHER_IS_BETTER),
        on_resume="free",
    )
    num_validation_pictures: int = option(
        64,
        "pictures of the validation split that are measured, the same each time",
        check=at_least(2),
        on_resume="free",
    )
    num_diversity_pictures: int | None = option(
        None,
        "label maps of the validation split for lpips, mcsd and mocd, which draw at least two pictures for each map "
        "and class; by default as many as have 128 classes in all",
        check=at_least(1),
        on_resume="free",
    )
    num_diversity_pairs: int = option(
        1, "pairs of pictures per label map and class, for these", check=at_least(1), on_resume="free"
    )
    keep_best: str | None = option(
        None,
        "metric by which the best model measured goes into model/, instead of the last, which is in the last "
        "checkpoint",
        choices=tuple(HIGHER_IS_BETTER),
        on_resume="free",
    )

    @property
    def evaluates(self) -> bool:
        """Whether anything is measured."""
        return self.evaluation_steps is not None or self.keep_best is not None

    @property
    def evaluation_interval(self) -> int:
        """Steps between measurements, if there are any."""
        return self.evaluation_steps or DEFAULT_INTERVAL

    def check(self) -> None:
        """Refuse details of what is not measured."""
        super().check()
        if not self.evaluates:
            remedy = "give the steps between measurements, or leave it out"
            self.refuse_given(_DETAILS, "without --evaluation_steps or --keep_best", remedy)
        if self.keep_best and self.evaluation_metrics and self.keep_best not in self.evaluation_metrics:
            raise ValueError(
                f"--keep_best {self.keep_best} is not measured: add it to --evaluation_metrics "
                f"{' '.join(self.evaluation_metrics)}"
            )
