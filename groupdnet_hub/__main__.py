"""All commands under one name: ``groupdnet COMMAND ...``, or ``accelerate launch -m groupdnet_hub COMMAND ...``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NamedTuple

from groupdnet_hub import __version__
from groupdnet_hub.runs.flags import FlagParser
from groupdnet_hub.runs.scripts import COMMAND, run_here, shipped
from groupdnet_hub.smis import main as convert


class Command(NamedTuple):
    """A script that ships with the package."""

    summary: str
    script: tuple[str, ...]
    extras: str  # of the package, whose requirements the script imports


COMMANDS = {
    "demo": Command("open the page in a browser", ("space", "app.py"), "space"),
    "train": Command("train or fine-tune a model", ("train", "train.py"), "train"),
    "evaluate": Command("measure a model as the paper does", ("train", "evaluate.py"), "train,metrics"),
    "generate": Command("write a data set of pictures that a model draws", ("train", "generate.py"), "train"),
    "prepare": Command("make training data of raw data or photos", ("train", "prepare.py"), "train,parser"),
    "compare": Command(
        "measure several models side by side", ("train", "compare_models.py"), "train,metrics"
    ),
    "reproduce": Command("make the paper's tables", ("train", "reproduce.py"), "train,metrics"),
    "export": Command("write a model as ONNX or torch.export files", ("train", "export.py"), "export"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command in this process, with the flags that follow its name."""
    summaries = {name: command.summary for name, command in COMMANDS.items()}
    summaries["convert"] = "make a model of the authors' checkpoints"
    listed = "\n".join(f"  {name:10} {text}" for name, text in summaries.items())
    parser = FlagParser(
        prog=COMMAND,
        usage=f"{COMMAND} NAME [FLAGS]",
        description=f"Semantically multi-modal image synthesis (GroupDNet).\n\ncommands:\n{listed}",
        epilog=f"{COMMAND} NAME --help lists the flags of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{COMMAND} {__version__}")
    parser.add_argument("name", metavar="NAME", choices=summaries, help=argparse.SUPPRESS)
    given = list(sys.argv[1:] if argv is None else argv)
    name = parser.parse_args(given[:1]).name
    if name == "convert":
        convert(given[1:], prog=f"{COMMAND} {name}")
        return
    command = COMMANDS[name]
    try:
        run_here(shipped(*command.script), f"{COMMAND} {name}", given[1:])
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("", "groupdnet_hub", "page"):
            raise
        sys.exit(f"{COMMAND} {name} needs {error.name}: pip install 'groupdnet-hub[{command.extras}]'")


if __name__ == "__main__":
    main()
