"""What the discriminator says of training pictures and of others, side by side: so that overfitting is seen.

A discriminator that knows its pictures by heart finds those that it has not seen as unreal as generated ones (Karras
et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, Fig. 1).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import default_collate

from groupdnet_hub import PairedImages
from groupdnet_hub.data.unknown import with_grey_unknown
from groupdnet_hub.training.config import TrainConfig
from groupdnet_hub.training.data.pictures import Data, spread, validation_data
from groupdnet_hub.training.objectives.objective import Objective

# Of each of the two, at most.
_PICTURES = 64


class DiscriminatorMeans:
    """Measures the mean score of as many training as validation pictures, each in full and not moved.

    Args:
        train, validation: pictures with their label maps; they are read anew each time.
        batch_size: pictures that the discriminator sees at once.
    """

    def __init__(
        self,
        objective: Objective,
        train: PairedImages,
        validation: PairedImages,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self.objective, self.batch_size, self.device = objective, batch_size, device
        self.train, self.validation = train, validation
        self.count = min(_PICTURES, len(train), len(validation))

    def __call__(self, discriminator: nn.Module) -> dict[str, float]:
        """Return ``discriminator_on_train``, ``discriminator_on_validation``, and how much higher the first is.

        Args:
            discriminator: not wrapped for several processes; it is in evaluation mode meanwhile.
        """
        was_training = discriminator.training
        discriminator.eval()
        train, validation = (self._mean(discriminator, data) for data in (self.train, self.validation))
        discriminator.train(was_training)
        return {
            "discriminator_on_train": train,
            "discriminator_on_validation": validation,
            "discriminator_gap": train - validation,
        }

    @torch.no_grad()
    def _mean(self, discriminator: nn.Module, data: PairedImages) -> float:
        total, items = 0.0, spread(data, self.count)
        for start in range(0, self.count, self.batch_size):
            batch = default_collate([data[i] for i in items[start : start + self.batch_size]])
            batch = {name: value.to(self.device) for name, value in batch.items()}
            total += float(self.objective.real_scores(discriminator, with_grey_unknown(batch)).sum())
        return total / self.count


def build_means(
    settings: TrainConfig, objective: Objective, data: Data, device: torch.device
) -> DiscriminatorMeans | None:
    """Return the measure for a run; None where there is no validation split, or only a stream to train on."""
    validation, train = validation_data(settings, data), data.untransformed()
    if not validation or not isinstance(train, PairedImages):
        return None
    return DiscriminatorMeans(objective, train, validation, settings.train_batch_size, device)
