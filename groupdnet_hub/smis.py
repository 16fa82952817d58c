"""The authors' checkpoints as a GroupDNet folder: ``python -m groupdnet_hub.smis --help``."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.config.presets import PRESETS
from groupdnet_hub.convert.smis import LICENSE_NOTE
from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.models.groupdnet import GroupDNet


def main(argv: Sequence[str] | None = None, *, prog: str = "python -m groupdnet_hub.smis") -> None:
    """Convert, save, and print what was left out; bad input ends with a message and exit status 2."""
    description = "Make a GroupDNet folder of the authors' checkpoints."
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--generator", required=True, help="*_net_G.pth or .safetensors")
    parser.add_argument(
        "--encoder", help="*_net_E.pth or .safetensors; without it the model cannot encode photos"
    )
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--preset", choices=PRESETS)
    chosen.add_argument("--config", help="config.json, for checkpoints of other widths")
    parser.add_argument("--classes", help="classes.json with names and colours of the label ids")
    parser.add_argument("--output", required=True, help="folder to save the model in")
    args = parser.parse_args(argv)
    try:
        config = (
            GroupDNetConfig.preset(args.preset) if args.preset else GroupDNetConfig.from_file(args.config)
        )
        if args.classes:
            labels = LabelSet.from_file(args.classes)
            config = config.replace(class_names=labels.names, palette=labels.palette, ignore=labels.ignore)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the notes below say it
            model = GroupDNet.from_smis(args.generator, args.encoder, config=config)
        model.save_pretrained(args.output)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    for note in model.card_facts["notes"]:
        print(note)
    print(f"saved {args.output}. {LICENSE_NOTE}")


if __name__ == "__main__":
    main()
