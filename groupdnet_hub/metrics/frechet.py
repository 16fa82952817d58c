"""The Frechet distance of two sets of pictures, from the features of any network."""

from __future__ import annotations

import torch
from torch import Tensor


class FeatureStatistics:
    """Mean and covariance of features, accumulated by batches in float64; merged shards give the same as one.

    Attributes:
        count: number of pictures.
        mean: float64 [D] on the CPU; empty before the first batch.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.empty(0, dtype=torch.float64)
        self._scatter = torch.empty(0, 0, dtype=torch.float64)  # sum of outer products of centred features

    def update(self, features: Tensor) -> None:
        """Add the features [B, D] of a batch.

        Raises:
            ValueError: for another shape or number of features, and values that are not finite.
        """
        if features.ndim != 2 or 0 in features.shape:
            raise ValueError(f"the features have shape {tuple(features.shape)}; they must be [B, D]")
        features = features.detach().cpu().double()
        if not features.isfinite().all():
            raise ValueError(
                "the features hold values that are not finite: does the network fit its weights?"
            )
        batch = FeatureStatistics()
        batch.count, batch.mean = len(features), features.mean(dim=0)
        centred = features - batch.mean
        batch._scatter = centred.T @ centred
        self.merge(batch)

    def merge(self, other: FeatureStatistics) -> None:
        """Add another shard, by centred sums, which a large mean costs no digits.

        Raises:
            ValueError: for features of another length.
        """
        if other.count == 0:
            return
        if self.count == 0:
            self.count, self.mean, self._scatter = other.count, other.mean, other._scatter
            return
        if other.mean.shape != self.mean.shape:
            raise ValueError(
                f"the features have {len(other.mean)} numbers and those before {len(self.mean)}: use one network"
            )
        total, difference = self.count + other.count, other.mean - self.mean
        between = torch.outer(difference, difference) * (self.count * other.count / total)
        self._scatter = self._scatter + other._scatter + between
        self.mean = self.mean + difference * (other.count / total)
        self.count = total

    def covariance(self) -> Tensor:
        """Return the unbiased covariance, float64 [D, D].

        Raises:
            ValueError: for fewer than two pictures.
        """
        if self.count < 2:
            raise ValueError(f"{self.count} pictures have no covariance: give at least 2")
        return self._scatter / (self.count - 1)


def frechet_distance(one: FeatureStatistics, other: FeatureStatistics) -> float:
    """Return ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` of the two Gaussians (Heusel et al. 2017).

    This is FID only with the features of the FID reference's Inception network. Few pictures bias it upwards, so that
    only values of equally many pictures are comparable.

    Raises:
        ValueError: for fewer than two pictures in a set, or features of different networks.
    """
    first, second = one.covariance(), other.covariance()
    if first.shape != second.shape:
        raise ValueError(
            f"the features have {len(first)} and {len(second)} numbers: use one network for both sets"
        )
    # tr (S1 S2)^(1/2) through symmetric matrices: real and stable even where few pictures make S1 or S2 singular.
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    product = root @ second @ root
    trace = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    difference = one.mean - other.mean
    return float(difference @ difference + first.trace() + second.trace() - 2 * trace)
