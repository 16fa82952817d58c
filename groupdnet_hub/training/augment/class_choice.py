"""A random choice for each row, made where the rows are: a GPU need not be waited for."""

from __future__ import annotations

import torch
from torch import Tensor


def choose(allowed: Tensor, draws: Tensor) -> Tensor:
    """Return, for each row of bool [B, N], the number of one of its true places, all as likely.

    Args:
        allowed: at least one place of each row.
        draws: [B], from 0 up to less than 1.

    Returns:
        int64 [B].
    """
    # How many of the places up to here are true.
    counts = allowed.to(torch.int32).cumsum(dim=1)
    number = counts[:, -1]
    # A draw just below 1 may round up to the number of places; not every device has double precision.
    wanted = torch.minimum((draws * number).long(), number - 1)
    return (counts <= wanted[:, None]).sum(dim=1)


def choose_weighted(weights: Tensor, draws: Tensor) -> Tensor:
    """Return, for each row of weights [B, N], the number of one place, as likely as its weight is large.

    Args:
        weights: 0 or more, at least one of each row above 0; a place of weight 0 is never chosen.
        draws: [B], from 0 up to less than 1.

    Returns:
        int64 [B].
    """
    ends = weights.float().cumsum(dim=1)
    wanted = draws * ends[:, -1]
    chosen = (ends <= wanted[:, None]).sum(dim=1)
    # A draw just below 1 may round up to the sum.
    last = weights.shape[1] - 1 - (weights > 0).flip(1).to(torch.int32).argmax(dim=1)
    return torch.minimum(chosen, last)
