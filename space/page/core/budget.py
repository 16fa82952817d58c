"""What models may cost that the page is to serve: it is told when the page starts, not to the first visitor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from groupdnet_hub import CostLimits
from groupdnet_hub.config.cost import Cost
from groupdnet_hub.config.limits import MAX_PIXELS

# Of the 16 GB of a free Space, the rest is for the server, the looks of its visitors and their photos.
_MEMORY_GB = 12


def page_limits() -> CostLimits:
    """Return the limits for each model, which environment variables set; of pixels never more than an upload may have.

    Raises:
        ValueError: for a variable that is not a number above 0.
    """
    limits = CostLimits.from_environment(default=CostLimits(memory_gb=_MEMORY_GB))
    return replace(limits, pixels=min(limits.pixels, MAX_PIXELS))


def check_memory(costs: Mapping[str, Cost]) -> None:
    """Refuse models that need too much memory together; one of them draws at a time.

    Args:
        costs: by the names of the models' folders, or Hub ids.

    Raises:
        ValueError: for such models.
    """
    page_limits().check_together(costs)
