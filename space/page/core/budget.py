"""What models may cost that the page is to serve: it is told when the page starts, not to the first visitor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from groupdnet_hub import CostLimits
from groupdnet_hub.config.cost import Cost
from groupdnet_hub.config.limits import MAX_PIXELS

# Of the 16 GB of a free Space, the rest is for the server, the looks of its visitors and their photos.
_MEMORY_GB = 12


@dataclass(frozen=True)
class PageLimits(CostLimits):
    """Those of the page, which draws no picture that is larger than an upload may be."""

    memory_gb: float = _MEMORY_GB

    def how_to_raise(self, name: str, enough: int) -> str:
        """Return how a limit is raised, as the end of a refusal."""
        if name == "pixels" and enough > MAX_PIXELS:
            side = math.isqrt(MAX_PIXELS)
            return (
                f"The page's pictures have at most {side} x {side} pixels, which no setting raises: draw larger ones "
                "with generate.py or in Python"
            )
        return super().how_to_raise(name, enough)


def page_limits() -> CostLimits:
    """Return the limits for each model, which environment variables set; of pixels never more than an upload may have.

    Raises:
        ValueError: for a variable that is not a number above 0.
    """
    limits = CostLimits.from_environment(default=PageLimits())
    return replace(limits, pixels=min(limits.pixels, MAX_PIXELS))


def check_memory(costs: Mapping[str, Cost]) -> None:
    """Refuse models that need too much memory together; one of them draws at a time.

    Args:
        costs: by the names of the models' folders, or Hub ids.

    Raises:
        ValueError: for such models.
    """
    page_limits().check_together(costs)
