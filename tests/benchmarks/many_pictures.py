"""How much memory a request for many pictures needs: ``python tests/benchmarks/many_pictures.py``.

Every number is the peak of a process of its own, above what it held before the request, with the looks that it returned
taken off. A ratio near 1 says that the number of pictures has no effect. "in one batch" decodes all pictures of the
smaller request together, which is what drawing in batches avoids. The cache, whose size ``cache_bytes`` bounds, is off.
"""

from __future__ import annotations

import argparse
import multiprocessing
from pathlib import Path
from typing import Any

import torch

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, Look
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS

FORMS = ("sample", "stream")


def main() -> None:
    """Print a Markdown table."""
    args = parse_arguments()
    few, many = args.pictures
    print(f"{args.size}x{args.size} pixels, width {args.width}, batch size {args.batch_size}, "
          f"cache {args.cache_mib} MiB, torch {torch.__version__}\n")  # fmt: skip
    print(f"| form | {few} pictures | {many} pictures | ratio |\n|---|---|---|---|")
    for form in args.forms:
        peaks = [peak(form, count, args.batch_size, args) for count in (few, many)]
        print(
            f"| {form} | {peaks[0]:.0f} MiB | {peaks[1]:.0f} MiB | **{peaks[1] / peaks[0]:.2f}** |",
            flush=True,
        )
    print(f"| {few} in one batch | {peak('sample', few, few, args):.0f} MiB | - | - |")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, nargs=2, default=[128, 2048], metavar=("FEW", "MANY"))
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS)
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument(
        "--cache_mib", type=int, default=0, help="cache of the pipeline, which has its own bound"
    )
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--width", type=int, default=4)
    return parser.parse_args()


def peak(form: str, count: int, batch_size: int, args: argparse.Namespace) -> float:
    """Peak MiB of a request in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (form, count, batch_size, vars(args)))


def _peak(form: str, count: int, batch_size: int, args: dict[str, Any]) -> float:
    torch.set_num_threads(1)
    size = (args["size"], args["size"])
    model = GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, size, args["width"]))
    pipe = GroupDNetPipeline(model, batch_size=batch_size, cache_bytes=args["cache_mib"] * 2**20)
    masks = [draw_figure(seed, size)[1] for seed in range(count)]
    pipe.sample(masks[0], seed=0)  # libraries take memory at the first picture
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = memory("VmRSS")
    if form == "sample":
        looks = pipe.sample(masks, seed=range(count))
        returned = sum(map(bytes_of, looks))
    else:
        returned = max(bytes_of(look) for look in pipe.stream(masks, seed=range(count)))
    return (memory("VmHWM") - before - returned) / 2**20


def bytes_of(look: Look) -> int:
    """Memory that a look holds; PIL takes four bytes for an RGB pixel."""
    return look.mask.nbytes + look.codes.tensor.nbytes + 4 * look.image.width * look.image.height


def memory(what: str) -> int:
    """Resident memory of this process in bytes: VmRSS now, VmHWM at its peak (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) * 1024


if __name__ == "__main__":
    main()
