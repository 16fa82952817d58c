"""Draw the example label maps again: ``python space/examples/make_examples.py``."""

from __future__ import annotations

from pathlib import Path

from groupdnet_hub import FIGURE_LABELS, draw_figure, label_picture

# (seed, crop), chosen by eye: half and full body, long and short hair, skirts, dresses, trousers and shorts.
EXAMPLES = (
    (1, "upper"),
    (5, "full"),
    (11, "upper"),
    (7, "full"),
    (3, "upper"),
    (9, "full"),
    (16, "upper"),
    (53, "full"),
    (8, "upper"),
    (20, "full"),
    (17, "upper"),
    (47, "full"),
)


def main() -> None:
    """Write ``example_01.png`` and so on, and their ``classes.json``, beside this file."""
    FIGURE_LABELS.to_file(Path(__file__).with_name("classes.json"))
    for number, (seed, crop) in enumerate(EXAMPLES, start=1):
        _, label = draw_figure(seed, (256, 256), crop=crop)
        label_picture(label, FIGURE_LABELS).save(Path(__file__).with_name(f"example_{number:02}.png"))


if __name__ == "__main__":
    main()
