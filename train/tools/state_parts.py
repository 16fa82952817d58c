"""Write a checkpoint as files of limited size, or join them: ``python train/tools/state_parts.py split|join ...``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from groupdnet_hub.runs.flags import FlagParser
from groupdnet_hub.runs.scripts import first_line
from groupdnet_hub.training.state.parts import join, newest_checkpoint, split


def build_parser() -> FlagParser:
    """Return the parser of the two commands."""
    parser = FlagParser(prog="state_parts.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("split", help="a checkpoint as parts").add_argument
    add(
        "checkpoint",
        type=Path,
        help="checkpoint folder, or the folder of a run, whose newest one is used",
    )
    add("--to", type=Path, required=True, help="folder of the parts")
    add("--checkpoint_part_mb", type=float, default=16.0, help="largest size of a file, in millions of bytes")
    add(
        "--half_weights",
        action="store_true",
        help="16-bit floats for average, model folder and discriminator",
    )
    add("--half_optimizer", action="store_true", help="bfloat16 for the optimisers' moments")
    add("--state_only", action="store_true", help="without the model folder and its fitted prior")
    add = commands.add_parser("join", help="parts as the checkpoint of a run").add_argument
    add("parts", type=Path, help="folder of the parts")
    add("--to", type=Path, required=True, help="folder of the run: --output_dir of train.py")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command."""
    args = build_parser().parse_args(argv)
    if args.command == "join":
        written = join(args.parts, args.to)
        print(f"wrote {written}; --resume_from_checkpoint latest resumes from it")
        return
    source = newest_checkpoint(args.checkpoint)
    paths = split(
        source,
        args.to,
        part_mb=args.checkpoint_part_mb,
        half_weights=args.half_weights,
        half_optimizer=args.half_optimizer,
        state_only=args.state_only,
    )
    sizes = [path.stat().st_size for path in paths]
    print(f"{source.name} as {len(paths)} files of {sum(sizes) / 1e6:.1f} MB together: {args.to}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"state_parts.py: {first_line(error)}")
