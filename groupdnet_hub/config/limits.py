"""How much a stranger's configuration may ask for; what asks for more is refused before anything is made for it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from groupdnet_hub.config.cost import Cost
from groupdnet_hub.config.serialization import JSONConfig
from groupdnet_hub.io.strict_json import shown

# As of pictures that are read (io/images.py).
MAX_PIXELS = 4096 * 4096
_GIB = 2**30
_TERA = 10**12


@dataclass(frozen=True)
class CostLimits:
    """Limits on what encoding a photo and drawing a picture may cost.

    By default all networks of the paper pass at full width, also for pictures of 512 x 1024.

    Attributes:
        pixels: of a picture.
        memory_gb: GiB of the weights, in float32, and of the most that is held beside them.
        tera_macs: 10^12 multiply-accumulates; a core does some 0.05 a second.

    Raises:
        ValueError: for anything but numbers above 0.
    """

    pixels: float = MAX_PIXELS
    memory_gb: float = 24
    tera_macs: float = 20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"{name} is {shown(value)}; it must be a number above 0")

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] = os.environ, default: CostLimits | None = None
    ) -> CostLimits:
        """Return the default limits, with those in place of them that environment variables set.

        The variables are ``GROUPDNET_MAX_PIXELS``, ``GROUPDNET_MAX_MEMORY_GB`` and ``GROUPDNET_MAX_TERA_MACS``.

        Args:
            environ: the variables.
            default: limits that they replace; those of the class by default.

        Raises:
            ValueError: for a variable that is not a number above 0.
        """
        limits, kinds = default or cls(), {"pixels": int, "memory_gb": float, "tera_macs": float}
        given = {name: environ.get(_variable(name), "").strip() for name in kinds}
        return replace(
            limits, **{name: _number(text, kinds[name], name) for name, text in given.items() if text}
        )

    def check(self, config: JSONConfig, source: str) -> None:
        """Refuse a configuration whose pictures would cost more.

        Args:
            config: of any system.
            source: folder or Hub id in messages.

        Raises:
            ValueError: with the cost, the limit, and how it is raised.
        """
        height, width = config.image_size
        self._refuse("pixels", f"pictures of {height}x{width}", height * width, source)
        self.check_cost(config.cost, source)

    def check_cost(self, cost: Cost, source: str) -> None:
        """Refuse what costs more, as :meth:`check` does.

        Args:
            cost: of a picture.
            source: folder or Hub id in messages.

        Raises:
            ValueError: with the cost, the limit, and how it is raised.
        """
        memory = cost.memory_bytes / _GIB
        self._refuse("memory_gb", f"{memory:,.1f} GiB of memory for a picture", memory, source)
        work = cost.macs / _TERA
        self._refuse("tera_macs", f"{work:,.1f} x 10^12 multiply-accumulates for a picture", work, source)

    def check_together(self, costs: Mapping[str, Cost]) -> None:
        """Refuse models that need more memory together, of which one at a time draws.

        Args:
            costs: by what a model is called in messages.

        Raises:
            ValueError: for such models.
        """
        most = max((cost.working_bytes for cost in costs.values()), default=0)
        weights = sum(cost.memory_bytes - cost.working_bytes for cost in costs.values())
        memory = (most + weights) / _GIB
        if memory > self.memory_gb:
            raise ValueError(
                f"{', '.join(list(costs)[:8])} need {memory:,.1f} GiB of memory together, and the limit is "
                f"{self.memory_gb:g}: take fewer or smaller models, or raise it by {_variable('memory_gb')}"
            )

    def how_to_raise(self, name: str, enough: int) -> str:
        """Return how a limit is raised, as the end of a refusal.

        Args:
            name: of the limit.
            enough: what it would have to be.
        """
        # The page draws no larger pictures, whatever the variable says.
        where = "scripts" if name == "pixels" and enough > MAX_PIXELS else "scripts and page"
        return (
            "If you trust it and have as much, raise the limit: "
            f"limits=CostLimits({name}={enough}) in Python, {_variable(name)}={enough} for {where}"
        )

    def _refuse(self, name: str, asked: str, value: float, source: str) -> None:
        limit = getattr(self, name)
        if value > limit:
            raised = self.how_to_raise(name, math.ceil(value))
            raise ValueError(f"{source} asks for {asked}, and the limit is {limit:,.10g}. {raised}")


# For models that a run has made itself.
UNLIMITED = CostLimits(math.inf, math.inf, math.inf)


def _variable(name: str) -> str:
    return f"GROUPDNET_MAX_{name.upper()}"


def _number(text: str, kind: Callable[[str], Any], name: str) -> Any:
    try:
        value = kind(text)
        if not 0 < value < math.inf:
            raise ValueError
    except (ValueError, OverflowError):
        example = getattr(CostLimits, name)
        raise ValueError(
            f"{_variable(name)} is {shown(text)}; it must be a number above 0, such as {example}"
        ) from None
    return value
