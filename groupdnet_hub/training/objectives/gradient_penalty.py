"""A penalty on the discriminator's gradient at real pictures, so that it does not overfit a small data set.

R1 of Mescheder et al., "Which Training Methods for GANs do actually Converge?" (ICML 2018), computed only every few
steps as in Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020). Not in the paper.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from groupdnet_hub.data.unknown import mark_unknown, with_grey_unknown
from groupdnet_hub.training.objectives.discriminator_inputs import Batch
from groupdnet_hub.training.objectives.objective import Objective


class LazyR1:
    """``weight / 2`` times the squared gradient of D(x) with respect to x, mean over real pictures x.

    D(x) is the mean of a picture's logits, weighted and averaged over scales as in the adversarial loss; where the
    discriminator sees windows too, the mean of that and of the same for a window of the picture. The
    penalty is a part of the discriminator's loss every ``interval`` steps, and counts for all of these: it is
    multiplied by ``interval``.

    Args:
        weight: gamma of the papers.
        interval: steps from one to the next; the first step of a run has it.
    """

    def __init__(self, weight: float, interval: int) -> None:
        self.weight, self.interval = weight, interval
        self._last: Tensor | None = None

    def due(self, step: int) -> bool:
        """Return whether a step, counted from 0, has it."""
        return bool(self.weight) and step % self.interval == 0

    def loss(self, objective: Objective, discriminator: nn.Module, batch: Batch) -> Tensor:
        """Return what is added to the discriminator's loss at a step that has it, a scalar in float32 at least.

        The pictures are augmented as those that the discriminator learns from; the gradient is that of the pictures
        before.

        Args:
            objective: scores real pictures.
            batch: a training batch.
            discriminator: not wrapped for several processes. Its plain forward is called, outside of autocast, and of
                what ``torch.compile`` made of it, through which there are no second derivatives.
        """
        parts, image = objective.parts, batch["image"].detach()
        image = image.to(torch.promote_types(image.dtype, torch.float32)).requires_grad_()
        plain = functools.partial(type(discriminator).forward, discriminator)
        with torch.autocast(image.device.type, enabled=False):
            batch = with_grey_unknown({**batch, "image": image})
            augment = None if parts.augment is None else parts.augment.plain
            scores = objective.real_scores(plain, batch, augment)
            if parts.windows is not None:
                known = mark_unknown(batch["label"], batch.get("unknown"))
                window = parts.windows.draw(known).batch(batch)
                scores = (scores + objective.real_scores(plain, window, augment)) / 2
            (gradient,) = torch.autograd.grad(scores.sum(), image, create_graph=True)
            penalty = self.weight / 2 * gradient.square().sum(dim=(1, 2, 3)).mean()
        if self._last is None:
            self._last = torch.zeros_like(penalty)
        self._last.copy_(penalty.detach())  # in place: a recorded step continues in the same memory
        return self.interval * penalty

    def report(self) -> dict[str, Tensor]:
        """Return the penalty when it was last computed, not multiplied by the interval; to be logged."""
        return {} if self._last is None else {"r1": self._last}
