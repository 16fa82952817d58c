"""Where fresh codes come from: N(0, 1), or a distribution for each class fitted to the codes of real pictures.

With the paper's KL weight the codes of real pictures are near N(0, 1) (section 3.5). Where the weight is small they are
far from that, and codes drawn from it look like no picture. Another prior is fitted after training instead (ex-post
density estimation; Ghosh et al., "From Variational to Deterministic Autoencoders", ICLR 2020).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.models.encoder import Gaussian

# The posterior of a batch of pictures, and bool [B, C]: which classes each shows. The codes of others do not count.
Encoded = tuple[Gaussian, Tensor]
# Pictures with their label maps: a batch of a data set, or the two alone.
Pictures = Mapping[str, Tensor] | tuple[Tensor, Tensor]
CodeShape = tuple[int, int, int, int]


def make_prior(
    code_shape: CodeShape, *, rank: int = 0, codes: int = 0, ties: Sequence[Sequence[int]] = ()
) -> CodePrior:
    """Return the prior of a configuration.

    Args:
        code_shape: (C, z, h, w) of the codes.
        rank: ``prior_rank``, 0 where there are ``codes``.
        codes: ``prior_codes``, 0 where there is a ``rank``.
        ties: the ids of ``prior_ties``.
    """
    if rank:
        return PrincipalDirections(code_shape, rank)
    return EmpiricalPrior(code_shape, codes, ties) if codes else CodePrior(code_shape)


def shown_together(shown: Tensor, ties: Sequence[Sequence[int]]) -> Tensor:
    """Return which classes count of those shown, bool [B, C]: tied ones where all of their tie are shown."""
    together = shown.clone()
    for tie in ties:
        together[:, list(tie)] = shown[:, list(tie)].all(dim=1, keepdim=True)
    return together


class CodePrior(nn.Module):
    """N(0, 1), and what all priors can do: draw the latent code of each class, each class on its own.

    Until another one is fitted, and for a class that no picture showed, it is N(0, 1) as well.
    """

    def __init__(self, code_shape: CodeShape) -> None:
        """Make a prior of codes of ``code_shape`` [C, z, h, w]."""
        super().__init__()
        self.code_shape = code_shape

    def sample(
        self, batch: int, *, generator: torch.Generator, spatial: tuple[int, int] | None = None
    ) -> Tensor:
        """Draw codes float32 [batch, C, z, h, w] on the generator's device.

        Args:
            batch: number of codes.
            generator: draws them.
            spatial: (h, w) of the codes, for label maps of another size; a fitted prior stretches its own.
        """
        shape = self.code_shape if spatial is None else (*self.code_shape[:2], *spatial)
        return _noise(batch, *shape, generator=generator)

    def chosen(self, batch: int, *, generator: torch.Generator) -> Tensor | None:
        """Return which stored code each one of :meth:`sample` is drawn from; None for a prior that stores none.

        Args:
            batch: number of codes.
            generator: in the state that ``sample`` would be given it.

        Returns:
            int64 [batch, C], -1 for classes that are drawn from N(0, 1).
        """
        return None

    def fit(self, batches: Iterable[Encoded]) -> None:
        """Fit it to the codes of real pictures.

        Raises:
            ValueError: for a prior that has nothing to fit.
        """
        raise ValueError(
            "this model's prior is N(0, 1): a configuration with prior_rank or prior_codes has one to fit"
        )

    def _stretched(self, codes: Tensor, spatial: tuple[int, int] | None) -> Tensor:
        if spatial is None or tuple(spatial) == tuple(codes.shape[3:]):
            return codes
        stretched = F.interpolate(codes.flatten(0, 1), size=spatial, mode="bilinear")
        return stretched.unflatten(0, codes.shape[:2])


class PrincipalDirections(CodePrior):
    """A Gaussian for each class along the R principal directions of its codes::

        code_c = mean_c + factor_c e        e ~ N(0, 1) in R dimensions; the code has D = z h w

    What varies along other directions is left out: few give plain, coherent pictures of a class, all much alike.

    Attributes:
        mean: [C, D].
        factor: [C, D, R].
        unfitted: [C], 1 for classes that are drawn from N(0, 1), else 0.
    """

    mean: Tensor
    factor: Tensor
    unfitted: Tensor

    def __init__(self, code_shape: CodeShape, rank: int) -> None:
        super().__init__(code_shape)
        self.rank = rank
        classes, size = code_shape[0], math.prod(code_shape[1:])
        self.register_buffer("mean", torch.zeros(classes, size))
        self.register_buffer("factor", torch.zeros(classes, size, rank))
        self.register_buffer("unfitted", torch.ones(classes))

    def sample(
        self, batch: int, *, generator: torch.Generator, spatial: tuple[int, int] | None = None
    ) -> Tensor:
        """Draw codes as :meth:`CodePrior.sample`."""
        noise = _noise(batch, *self.code_shape, generator=generator)
        shared = _noise(batch, self.code_shape[0], self.rank, generator=generator)
        return self._stretched(self(noise, shared), spatial)

    def forward(self, noise: Tensor, shared: Tensor) -> Tensor:
        """Return the codes that random numbers stand for.

        Args:
            noise: standard normal, [B, C, z, h, w]; for classes that were not fitted.
            shared: standard normal, [B, C, R]; e above.

        Returns:
            float32 [B, C, z, h, w], on the device of ``noise``.
        """
        mean, factor, unfitted = (
            buffer.to(noise.device, torch.float32) for buffer in (self.mean, self.factor, self.unfitted)
        )
        codes = mean + unfitted[:, None] * noise.flatten(2) + torch.einsum("cdr,bcr->bcd", factor, shared)
        return codes.view_as(noise)

    @torch.no_grad()
    def fit(self, batches: Iterable[Encoded]) -> None:
        """Fit mean and R principal directions of each class's codes; a class of fewer than two pictures stays."""
        classes, size = self.mean.shape
        count = torch.zeros(classes, dtype=torch.float64)
        total = torch.zeros(classes, size, dtype=torch.float64)
        products = torch.zeros(classes, size, size, dtype=torch.float64)
        for posterior, shown in batches:
            values = posterior.mode().cpu().double().flatten(2) * shown.cpu()[..., None]
            count += shown.cpu().sum(dim=0)
            total += values.sum(dim=0)
            products += torch.einsum("bcd,bce->cde", values, values)
        for class_id in torch.nonzero(count >= 2).flatten().tolist():
            n = count[class_id]
            mean = total[class_id] / n
            covariance = (products[class_id] - n * torch.outer(mean, mean)) / (n - 1)
            variances, directions = torch.linalg.eigh(covariance)
            factor = directions[:, -self.rank :] * variances[-self.rank :].clamp(min=0).sqrt()
            self.mean[class_id].copy_(mean)
            self.factor[class_id].copy_(factor)
            self.unfitted[class_id] = 0


class EmpiricalPrior(CodePrior):
    """For each class the posteriors of K real pictures: one is chosen, and a code is drawn from it::

        code_c = mean_ck + std_ck e        k uniform in 1..K, e ~ N(0, 1)

    That is the aggregate posterior, the prior that fits an encoder best (Tomczak and Welling, "VAE with a VampPrior",
    AISTATS 2018), estimated from K pictures. Colours and cuts are as varied as those of the pictures, and the decoder
    has seen each code in training.

    Classes are drawn each on its own, but for those that are tied: they share k, and the k-th codes of all of them are
    of one picture. So a face and an arm have the tone of one person.

    Attributes:
        mean, std: [C, K, D]; what a class has fewer of than K pictures is N(0, 1) and not chosen.
        count: [C], how many posteriors each class has; 0 for classes that are drawn from N(0, 1).
    """

    mean: Tensor
    std: Tensor
    count: Tensor

    def __init__(self, code_shape: CodeShape, codes: int, ties: Sequence[Sequence[int]] = ()) -> None:
        super().__init__(code_shape)
        self.ties = tuple(tuple(tie) for tie in ties)
        # For each class the one whose choice it follows: the first of its tie, or itself.
        self._followed = list(range(code_shape[0]))
        for tie in self.ties:
            for class_id in tie:
                self._followed[class_id] = tie[0]
        classes, size = code_shape[0], math.prod(code_shape[1:])
        self.register_buffer("mean", torch.zeros(classes, codes, size))
        self.register_buffer("std", torch.ones(classes, codes, size))
        self.register_buffer("count", torch.zeros(classes))

    def sample(
        self, batch: int, *, generator: torch.Generator, spatial: tuple[int, int] | None = None
    ) -> Tensor:
        """Draw codes as :meth:`CodePrior.sample`."""
        u = self._uniform(batch, generator)
        noise = _noise(batch, *self.code_shape, generator=generator)
        return self._stretched(self(u, noise), spatial)

    def chosen(self, batch: int, *, generator: torch.Generator) -> Tensor:
        """Return which of a class's pictures each code is drawn from, as :meth:`CodePrior.chosen`."""
        places = self._places(self._uniform(batch, generator))
        return torch.where(self.count.to(places.device) > 0, places, -1)

    def _uniform(self, batch: int, generator: torch.Generator) -> Tensor:
        return torch.rand(batch, self.code_shape[0], generator=generator, device=generator.device)

    def forward(self, u: Tensor, noise: Tensor) -> Tensor:
        """Return the codes that random numbers stand for.

        Args:
            u: uniform in [0, 1), [B, C]; which of a class's pictures is chosen.
            noise: standard normal, [B, C, z, h, w]; e above.

        Returns:
            float32 [B, C, z, h, w], on the device of ``noise``.
        """
        device = noise.device
        chosen = self._places(u).to(self.mean.device)
        rows = torch.arange(self.code_shape[0], device=self.mean.device)
        # Only what was chosen is converted and moved: the whole store is hundreds of times larger.
        mean, std = (store[rows, chosen].to(device, torch.float32) for store in (self.mean, self.std))
        return (mean + std * noise.flatten(2)).view_as(noise)

    def _places(self, u: Tensor) -> Tensor:
        """Return which of a class's pictures numbers [B, C] in [0, 1) stand for, int64 [B, C]."""
        count = self.count.to(u.device, torch.float32)
        if self.ties:
            u = u[:, self._followed]
        # A u just below 1 may round up to the count, and a file may hold any count.
        last = (count.long() - 1).clamp(0, self.mean.shape[1] - 1)
        return torch.minimum((u * count).long().clamp(min=0), last)

    @torch.no_grad()
    def fit(self, batches: Iterable[Encoded]) -> None:
        """Keep the posteriors of K pictures of each class, evenly chosen among all that show it (always the same).

        For tied classes they are chosen among those that show all of the tie.
        """
        limit = self.mean.shape[1]
        generator = torch.Generator().manual_seed(0)
        seen = torch.zeros(len(self.count), dtype=torch.int64)
        followers: dict[int, list[int]] = {}
        for class_id, followed in enumerate(self._followed):
            followers.setdefault(followed, []).append(class_id)
        for posterior, shown in batches:
            means = posterior.mode().flatten(2)
            stds = torch.exp(0.5 * posterior.logvar).flatten(2)
            for item, class_id in torch.nonzero(shown_together(shown.cpu(), self.ties)).tolist():
                if self._followed[class_id] != class_id:
                    continue
                # Reservoir sampling: the n-th picture of a class takes a place with probability K / n.
                number = int(seen[class_id])
                seen[class_id] += 1
                place = number
                if number >= limit:
                    place = int(torch.randint(number + 1, (), generator=generator))
                if place < limit:
                    for follower in followers[class_id]:
                        self.mean[follower, place].copy_(means[item, follower])
                        self.std[follower, place].copy_(stds[item, follower])
        self.count.copy_(seen[self._followed].clamp(max=limit))


def _noise(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=generator, device=generator.device)
