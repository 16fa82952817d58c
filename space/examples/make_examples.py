"""Make the example label maps again: ``python space/examples/make_examples.py --input CCP``.

CCP is the folder of Clothing Co-Parsing as ``python train/prepare.py ccp --download`` leaves it. The maps are those of

    python train/prepare.py ccp --input CCP --photos fashion8 --classes people16 --frame full upper --aspect 2 \\
        --smooth 5 --resolution 512 256 --output FOLDER

under other names. No photo comes along. The script needs a clone of the repository: it uses ``train/``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.labels import label_picture
from groupdnet_hub.data.people import PEOPLE16

HERE = Path(__file__).resolve().parent
# Photos of the validation part with their frames, chosen by eye for outlines without slips and for variety: long and
# short hair, open jackets, a coat, a dress, skirts, trousers, hats, glasses, bags, a scarf. Frames by turns, since the
# page opens with the first ones; upper frames are those that cut no arm off.
EXAMPLES = (
    ("0113", "upper"),
    ("0211", "full"),
    ("0866", "upper"),
    ("0479", "full"),
    ("0038", "upper"),
    ("0983", "full"),
    ("0088", "upper"),
    ("0175", "full"),
    ("0909", "upper"),
    ("0131", "full"),
    ("0099", "upper"),
    ("0106", "full"),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Write ``example_01.png`` and so on, and their ``classes.json``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=Path, required=True, help="the raw data set")
    parser.add_argument(
        "--output", type=Path, default=HERE, help="folder to write to; this script's by default"
    )
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    PEOPLE16.to_file(args.output / "classes.json")
    try:
        with tempfile.TemporaryDirectory() as prepared:
            maps = prepare(args.input, Path(prepared))
            for number, path in enumerate(maps, start=1):
                picture = label_picture(read_label_map(path, PEOPLE16), PEOPLE16)
                picture.save(args.output / f"example_{number:02}.png", optimize=True)
    except (ValueError, OSError) as error:
        parser.error(str(error))


def prepare(raw: Path, output: Path) -> list[Path]:
    """Prepare the label maps of ``EXAMPLES`` below ``output``.

    Raises:
        ValueError, OSError: if the data set, or one of the photos, cannot be read, or is not there.
    """
    from groupdnet_hub.prepare.config import CcpConfig
    from groupdnet_hub.prepare.plan import conditions_of, find_items
    from groupdnet_hub.prepare.run import Preparing
    from groupdnet_hub.prepare.sources import Found
    from groupdnet_hub.runs.sharding import start_accelerator

    settings = CcpConfig(
        input=raw,
        output=output,
        photos="fashion8",
        classes="people16",
        frame=("full", "upper"),
        aspect=2.0,
        smooth=5,
        resolution=(512, 256),
    )
    found, recipe = find_items(settings)
    names = [f"ccp_{photo}_{frame}" for photo, frame in EXAMPLES]
    chosen = Found([item for item in found.items if item.name in names])
    summary = Preparing(chosen, recipe, conditions_of(settings), output, start_accelerator(), 0).files()
    for problem in summary.problems:
        raise ValueError(f"{problem.path}: {problem.reason}")
    maps = {item.name: output / item.split / "labels" / f"{item.name}.png" for item in chosen.items}
    missing = [name for name in names if name not in maps]
    if missing:
        raise ValueError(f"{raw} has no photo with a pixel-level annotation for {', '.join(missing)}")
    return [maps[name] for name in names]


if __name__ == "__main__":
    main()
