"""DiffAugment on only as many pictures as it takes to keep the discriminator from knowing its data by heart.

After Karras et al., "Training Generative Adversarial Networks with Limited Data" (NeurIPS 2020), with the
augmentations of DiffAugment. What is always augmented leaks into what is drawn, and says less of fine detail; what is
never augmented is learned by heart.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from groupdnet_hub.training.augment.diffaugment import NEUTRAL, DiffAugment
from groupdnet_hub.training.distributed import tensor_mean_over_processes
from groupdnet_hub.training.shared_stream import RunSeed

# Colour, translation and cutout are applied or left out each for itself: which of them each of the draws is for.
_AUGMENTATION_OF_DRAW = (0, 0, 0, 1, 1, 2, 2)
# Pictures over which the measure of overfitting is averaged, about; the paper takes 4 batches of 64.
_AVERAGED_PICTURES = 256


class AdaptiveDiffAugment(DiffAugment):
    """Applies colour, translation and cutout to an item with probability p each.

    p follows r, the mean sign of what the discriminator says of real training pictures: near 0 where it cannot tell
    them from generated ones, 1 where it is sure of each. Below ``target`` p falls, above it rises, by a fixed amount
    for each picture.

    Args:
        target: of r, above 0 and below 1.
        rise: real pictures, all processes together, in which p moves from 0 to 1 at most.

    Attributes:
        probability: p, a scalar in float32 on ``device``, so that it need not be waited for.
        overfitting: r, averaged over the last few hundred pictures.
    """

    def __init__(
        self,
        target: float,
        rise: int,
        seed: RunSeed,
        device: torch.device,
    ) -> None:
        super().__init__(seed)
        self.target, self.rise = target, rise
        self.probability = torch.zeros((), device=device)
        self.overfitting = torch.zeros((), device=device)
        self._neutral = torch.tensor(NEUTRAL, device=device)
        self._augmentation = torch.tensor(_AUGMENTATION_OF_DRAW, device=device)

    def draw(self, items: int, device: torch.device) -> Tensor:
        """Return draws as :class:`DiffAugment` does, neutral ones for what is not applied."""
        draws = super().draw(items, device)
        chances = self.uniform(items, max(_AUGMENTATION_OF_DRAW) + 1, device=device)
        return torch.where((chances < self.probability)[:, self._augmentation], draws, self._neutral)

    @torch.no_grad()
    def observe(self, realness: Tensor, counts: Tensor | None = None) -> None:
        """Move p by what the discriminator says of a batch of real pictures; every process calls it at once.

        Args:
            realness: [B, ...], at any places: positive where they are found real.
            counts: of the same shape, how much each place counts; by default all alike.
        """
        pictures = len(realness) * self.num_processes
        signs = realness.float().sign()
        if counts is None:
            found = tensor_mean_over_processes(signs.mean())
        else:
            total, of_all = tensor_mean_over_processes(torch.stack(((signs * counts).sum(), counts.sum())))
            found = total / of_all.clamp(min=1)
        self.overfitting.lerp_(found, min(1.0, pictures / _AVERAGED_PICTURES))
        step = (self.overfitting - self.target).sign() * (pictures / self.rise)
        self.probability.add_(step).clamp_(0, 1)

    def report(self) -> dict[str, Tensor]:
        """Return p and r, to be logged."""
        return {"augment_probability": self.probability, "augment_overfitting": self.overfitting}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint."""
        return {
            **super().state_dict(),
            "probability": self.probability,
            "overfitting": self.overfitting,
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the state from a checkpoint."""
        super().load_state_dict(state)
        self.probability.copy_(state["probability"])
        self.overfitting.copy_(state["overfitting"])
