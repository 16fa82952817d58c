"""Figures with their intervals, as tables print them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What stands for a figure that is not defined, or not measured.
NONE = "-"


def estimate_text(estimate: Mapping[str, Any], digits: int, scale: float = 1.0) -> str:
    """The value of an ``Estimate`` as a dictionary, and its 95 % interval where it has one."""
    text = figure_text(estimate["value"], digits, scale)
    if estimate["interval"] is None:
        return text
    low, high = (figure_text(bound, digits, scale) for bound in estimate["interval"])
    return f"{text} ({low} to {high})"


def figure_text(value: float | None, digits: int, scale: float = 1.0) -> str:
    """A number with a given count of decimals; ``NONE`` for ``None``."""
    return NONE if value is None else f"{value * scale:.{digits}f}"


def percent(share: float | None) -> str:
    """A share from 0 to 1 in percent, with one decimal."""
    return figure_text(share, 1, 100)
