"""What is said of bad items: a message that names the first ones, and a file of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from groupdnet_hub.data.checks.items import BadItem
from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.io.strict_json import json_line

# Items that a message names.
SHOWN = 20


def listed(problems: Sequence[str], where: str = "") -> str:
    """Return a line for each problem, and one that counts those that are not shown.

    Args:
        problems: one problem an item.
        where: says where the others are, such as ``": see FILE"``.
    """
    lines = [f"  {' '.join(problem.split())}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"  and {len(problems) - SHOWN} more{where}")
    return "\n".join(lines)


def write_bad_items(path: Path, bad: Sequence[BadItem]) -> None:
    """Write a line of JSON for each bad item, atomically: its split, index, files and what is wrong.

    Raises:
        CannotWriteError: for a full disk and the like.
    """
    with atomic_write(path) as partial:
        partial.write_text("".join(json_line(one.record()) for one in bad), encoding="utf-8")
