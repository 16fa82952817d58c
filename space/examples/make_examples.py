"""Draw the example label maps again: ``python space/examples/make_examples.py``."""

from __future__ import annotations

from pathlib import Path

from groupdnet_hub import FIGURE_LABELS, draw_figure, label_picture

# (seed, crop): chosen by eye for variety.
EXAMPLES = ((1, "upper"), (5, "full"), (11, "upper"), (7, "full"), (3, "upper"), (9, "full"))


def main() -> None:
    """Write ``example_1.png`` and so on beside this file."""
    for number, (seed, crop) in enumerate(EXAMPLES, start=1):
        _, label = draw_figure(seed, (256, 256), crop=crop)
        label_picture(label, FIGURE_LABELS).save(Path(__file__).with_name(f"example_{number}.png"))


if __name__ == "__main__":
    main()
