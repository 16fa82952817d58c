"""What an exported model costs in onnxruntime beside ours: ``python tests/benchmarks/export.py --models space/model``.

Single precision on a CPU, one picture at a time, the forms in turn in one run, so that the ratios compare like with
like also on a busy machine. What is counted is the processor time of all threads (of which there is one by default),
and of all rounds the least, since that was disturbed the least. ``first decode`` is ours on a label map that it has not
seen before, ``another sample`` on one that was prepared, ``one class redrawn`` the last class that the map shows, by
``pipe.reroll``'s way; onnxruntime does the same work for all three.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from groupdnet_hub import PRESETS, GroupDNet, GroupDNetConfig
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.export import export_model


def main() -> None:
    """Measure what the command line asks for and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="+", default=["space/model"], help="folders, or presets of full width"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    print(f"{args.threads} threads, torch {torch.__version__}, onnxruntime {onnxruntime.__version__}\n")
    print("| model | what | ours | onnxruntime | onnxruntime / ours |\n|---|---|---|---|---|")
    for name in args.models:
        preset = name in PRESETS
        model = GroupDNet(GroupDNetConfig.preset(name)) if preset else GroupDNet.from_pretrained(name)
        measure(name, model.eval(), args.threads, args.repeats)


def measure(name: str, model: GroupDNet, threads: int, repeats: int) -> None:
    """Print the rows of one model."""
    with tempfile.TemporaryDirectory() as folder:
        exported = export_model(model, folder)
        encoder, decoder = (session(exported.files[part], threads) for part in ("encoder", "decoder"))
    picture, ids = draw_figure(0, model.config.image_size)
    label = torch.from_numpy(ids.astype(np.int64))[None]
    image = torch.from_numpy(np.asarray(picture, np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    codes = model.sample_codes(generator=torch.Generator().manual_seed(0))
    instance = label if model.config.instance_edges else None
    prepared = model.prepare(label, instance, keep=0)
    maps = {"label": label.numpy()} | ({} if instance is None else {"instance": instance.numpy()})
    pictures, drawn = {"image": image.numpy(), "label": label.numpy()}, {"codes": codes.numpy(), **maps}
    kept, shown = model.prepare(label, instance), int(ids.max())
    redrawn = codes, model.redraw(codes, shown, generator=torch.Generator().manual_seed(1))
    turns = itertools.cycle(redrawn)
    seconds = least(
        {
            "encode": lambda: model.encode(image, label),
            "first decode": lambda: model.decode(codes, model.prepare(label, instance, keep=0)),
            "another sample": lambda: model.decode(codes, prepared),
            "one class redrawn": lambda: model.decode(next(turns), kept),
            "exported encoder": lambda: encoder.run(None, pictures),
            "exported decoder": lambda: decoder.run(None, drawn),
        },
        repeats,
    )
    for what in ("encode", "first decode", "another sample", "one class redrawn"):
        ours, theirs = seconds[what], seconds[f"exported {'encoder' if what == 'encode' else 'decoder'}"]
        print(
            f"| {name} | {what} | {1e3 * ours:.0f} ms | {1e3 * theirs:.0f} ms | **{theirs / ours:.2f}** |",
            flush=True,
        )


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Load a file for a number of threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def least(forms: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Least processor seconds of each form; they take turns, after one round that is not counted."""
    seconds = dict.fromkeys(forms, float("inf"))
    for turn in range(repeats + 1):
        for name, form in forms.items():
            start = time.process_time()
            form()
            if turn:
                seconds[name] = min(seconds[name], time.process_time() - start)
    return seconds


if __name__ == "__main__":
    main()
