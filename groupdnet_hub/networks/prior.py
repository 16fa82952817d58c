"""Where fresh codes come from: N(0, 1), or a Gaussian for each class fitted to the codes of real pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CodePrior(nn.Module):
    """The distribution from which the latent code of each class is drawn, each class on its own.

    With rank 0 it is N(0, 1) (section 3.5). Where the KL weight is small, the codes of real pictures are far from
    that, and codes drawn from it look like no picture. A prior of rank R > 0 is fitted after training instead
    (ex-post density estimation; Ghosh et al., "From Variational to Deterministic Autoencoders", ICLR 2020)::

        code_c = mean_c + factor_c e        e ~ N(0, 1) in R dimensions; the code has D = z h w

    factor_c holds the R main directions of the class's codes; what varies along others is left out. Few directions
    give plain, coherent pictures of a class, many give varied and blotchy ones. Until it is fitted, and for a class
    that no picture shows, it is N(0, 1) as well.

    Attributes:
        mean: [C, D]; only with R > 0.
        factor: [C, D, R]; only with R > 0.
        unfitted: [C], 1 for classes that are drawn from N(0, 1), else 0; only with R > 0.
    """

    mean: Tensor
    factor: Tensor
    unfitted: Tensor

    def __init__(self, code_shape: tuple[int, int, int, int], rank: int = 0) -> None:
        """``code_shape``: [C, z, h, w]."""
        super().__init__()
        self.code_shape, self.rank = code_shape, rank
        classes, size = code_shape[0], math.prod(code_shape[1:])
        if rank:
            self.register_buffer("mean", torch.zeros(classes, size))
            self.register_buffer("factor", torch.zeros(classes, size, rank))
            self.register_buffer("unfitted", torch.ones(classes))

    def sample(
        self, batch: int, *, generator: torch.Generator, spatial: tuple[int, int] | None = None
    ) -> Tensor:
        """Codes float32 [batch, C, z, h, w] on the generator's device.

        Args:
            spatial: (h, w) of the codes, for label maps of another size; a fitted prior stretches its own.
        """
        device, shape = generator.device, list(self.code_shape)
        if not self.rank and spatial is not None:
            shape[2:] = spatial
        noise = torch.randn(batch, *shape, generator=generator, device=device)
        if not self.rank:
            return noise
        mean, factor, unfitted = (
            buffer.to(device, torch.float32) for buffer in (self.mean, self.factor, self.unfitted)
        )
        shared = torch.randn(batch, shape[0], self.rank, generator=generator, device=device)
        codes = mean + unfitted[:, None] * noise.flatten(2) + torch.einsum("cdr,bcr->bcd", factor, shared)
        codes = codes.view(batch, *shape)
        if spatial is not None and tuple(spatial) != tuple(shape[2:]):
            codes = F.interpolate(codes.flatten(0, 1), size=spatial, mode="bilinear").unflatten(
                0, (batch, -1)
            )
        return codes

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Fit the mean and the R main directions of each class's codes.

        Args:
            batches: codes [B, C, z, h, w], and bool [B, C]: which classes each picture shows; the codes of others
                do not count. A class of fewer than two pictures stays as it is.

        Raises:
            ValueError: for a prior of rank 0, which has nothing to fit.
        """
        if not self.rank:
            raise ValueError(
                "this model's prior is N(0, 1): a configuration with prior_rank > 0 has one to fit"
            )
        classes, size = self.mean.shape
        count = torch.zeros(classes, dtype=torch.float64)
        total = torch.zeros(classes, size, dtype=torch.float64)
        products = torch.zeros(classes, size, size, dtype=torch.float64)
        for codes, shown in batches:
            values = codes.detach().cpu().double().flatten(2) * shown.cpu()[..., None]
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
