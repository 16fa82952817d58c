"""Write a trained model for runtimes without PyTorch, or without this package: ``python train/export.py --help``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groupdnet_hub.export import export_model
from groupdnet_hub.export.formats import FormatName
from groupdnet_hub.export.verification import BATCH_SIZES
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.scripts import run_command
from groupdnet_hub.runs.settings import Settings, argument, option


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Settings):
    """Settings of export.py: model, format and folder."""

    model: str = argument("folder or Hub id")
    format: FormatName = option("onnx", "of the files: ONNX, or programs of torch.export")
    output_dir: str = option(
        help="folder of the encoder, the decoder, a fitted prior, and export.json about them"
    )
    overwrite_output_dir: bool = option(False, "replace an export in the folder")


def main(argv: Sequence[str] | None = None) -> None:
    """Export a model, and say how near to PyTorch its files are."""
    description = "Write a model's encoder and decoder as one file each, and check them against PyTorch."
    settings = parse_settings(ExportConfig, argv, prog="export.py", description=description)
    exported = export_model(
        settings.model,
        settings.output_dir,
        format=settings.format,
        overwrite=settings.overwrite_output_dir,
    )
    for name, path in exported.files.items():
        print(f"{path.name}: at most {exported.differences[name]:.1e} from PyTorch")
    batches = ", ".join(map(str, BATCH_SIZES[:-1]))
    print(
        f"checked with batches of {batches} and {BATCH_SIZES[-1]}; {exported.description} describes the files"
    )


if __name__ == "__main__":
    run_command("export.py", main, stopped="nothing was written", missing="nothing was written")
