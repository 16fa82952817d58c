"""What the fast forms save against the paper's network: ``python tests/benchmarks/decode.py``.

Every row is measured in one run, the forms of a case in turn, so that the ratios compare like with like also on a
busy machine; times are medians. "plain" is the network as the paper has it (``groupdnet_hub/models/decoder.py``): it
convolves the whole label maps, caches nothing, and normalises the weights in every forward. With ``--data_dir`` the
label maps are real ones; without, people drawn by our own code. Peak memory is that of a process of its own for each
form, above the model's.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groupdnet_hub import PRESETS, GroupDNet, GroupDNetConfig, LabelSet, PairedImages
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.labels import instance_edges

FORMS = ("first decode", "another sample", "one-class reroll", "batch of 16")
Draw = Callable[[], object]


def main() -> None:
    """Measure what the command line asks for and print Markdown tables."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    device, dtype = torch.device(args.device), getattr(torch, args.dtype)
    rate = matrix_rate(device, dtype)
    print(f"{args.device}, {args.dtype}, {args.threads} threads, torch {torch.__version__}")
    print(f"measured matrix rate: {rate:.0f} GMAC/s\n")
    if "presets" in args.parts:
        print(
            "| preset | what | plain | fast | ratio | peak memory, plain and fast | share of the matrix rate |"
        )
        print("|---|---|---|---|---|---|---|")
        for preset in args.presets:
            measure_preset(preset, args, device, dtype, rate)
    if "training" in args.parts:
        measure_training(args, device)
    if "scaling" in args.parts:
        measure_scaling(args, device, dtype)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=["presets", "training"],
                        choices=["presets", "training", "scaling"])  # fmt: skip
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=PRESETS)
    parser.add_argument("--forms", nargs="+", default=list(FORMS[:3]), choices=FORMS)
    parser.add_argument("--data_dir", help="folder of data sets: fashion8/, camvid/ and coco130/")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--compiled", action="store_true", help="the fast forms with torch.compile")
    parser.add_argument("--cuda_graphs", action="store_true", help="the fast forms as CUDA graphs")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--no_memory", action="store_true", help="leave out the processes that measure memory"
    )
    return parser.parse_args()


# -- what is measured ------------------------------------------------------------------------------------------


def measure_preset(
    preset: str, args: argparse.Namespace, device: torch.device, dtype: torch.dtype, rate: float
) -> None:
    """The forms of one full-width preset, each against the plain network."""
    model, label, instance = build(preset, args.data_dir, device, dtype)
    as_published = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    for form in args.forms:
        with torch.no_grad():
            plain = draws(as_published, label, instance, form, None)
            fast = draws(model, label, instance, form, fast_options(vars(args)))
        times = alternately({"plain": plain, "fast": fast}, args.repeats, device)
        memory = "-"
        if not args.no_memory:
            peaks = [peak_memory(preset, args, form, lookup) for lookup in (False, True)]
            memory = f"{peaks[0]:.0f} and {peaks[1]:.0f} MiB"
        share = "-"
        if form == "another sample":
            share = f"{100 * main_path_macs(model) / 1e9 / times['fast'] / rate:.0f} %"
        print(
            f"| {preset} | {form} | {times['plain']:.3f} s | {times['fast']:.3f} s | "
            f"**{times['plain'] / times['fast']:.2f}** | {memory} | {share} |",
            flush=True,
        )


def measure_training(args: argparse.Namespace, device: torch.device) -> None:
    """One generator step, forward and backward, of a small network on a batch of 8 different maps."""
    model = GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, (128, 128), 40)).to(device).train()
    model.to(memory_format=torch.channels_last)
    label = label_maps("deepfashion", args.data_dir, (128, 128), 8).to(device)
    codes = torch.randn(8, *model.config.code_shape, device=device)
    weights = torch.randn(8, 3, 128, 128, device=device)

    as_published = copy.deepcopy(model).to(memory_format=torch.contiguous_format)

    def step(model: GroupDNet, lookup: bool) -> None:
        model.zero_grad()
        picture = (
            model.decode(codes, model.prepare(label, lookup=True))
            if lookup
            else plain_decode(model, codes, label)
        )
        (picture * weights).sum().backward()

    forms: dict[str, Draw] = {"plain": lambda: step(as_published, False), "fast": lambda: step(model, True)}
    times = alternately(forms, args.repeats, device, gradients=True)
    print("\n| generator step, width 40, 128x128, batch 8 | plain | look-up | ratio |\n|---|---|---|---|")
    ratio = times["plain"] / times["fast"]
    print(
        f"| forward and backward | {times['plain']:.3f} s | {times['fast']:.3f} s | **{ratio:.2f}** |",
        flush=True,
    )


def measure_scaling(args: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> None:
    """How the cost of a small network grows with classes, resolution and batch."""
    cases = [(classes, 128, 1) for classes in (8, 35, 151)]
    cases += [(8, size, 1) for size in (256, 512, 1024)] + [(8, 128, batch) for batch in (4, 16)]
    print(
        "\n| classes | size | batch | plain | first decode | another sample | ratios |\n|---|---|---|---|---|---|---|"
    )
    for classes, size, batch in cases:
        labels = LabelSet.from_names([f"class {i}" for i in range(classes)])
        model = GroupDNet(GroupDNetConfig.for_labels(labels, (size, size), 16)).to(device, dtype).eval()
        label = regions(classes, size, batch).to(device)
        codes = model.sample_codes(batch, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            prepared = model.prepare(label, keep=0)
        forms: dict[str, Draw] = {
            "plain": lambda: plain_decode(model, codes, label),  # noqa: B023
            "first": lambda: model.decode(codes, model.prepare(label, keep=0)),  # noqa: B023
            "another": lambda: model.decode(codes, prepared),  # noqa: B023
        }
        times = alternately(forms, args.repeats, device)
        ratios = [times["plain"] / times[form] for form in ("first", "another")]
        print(
            f"| {classes} | {size} | {batch} | " + " | ".join(f"{time * 1e3:.0f} ms" for time in times.values())
            + f" | {ratios[0]:.2f}, {ratios[1]:.2f} |",
            flush=True,
        )  # fmt: skip


def fast_options(args: Mapping[str, Any]) -> dict[str, bool]:
    """How the fast forms prepare a label map."""
    return {name: args[name] for name in ("compiled", "cuda_graphs")}


def draws(
    model: GroupDNet, label: Tensor, instance: Tensor | None, form: str, fast: Mapping[str, bool] | None
) -> Draw:
    """A function that draws once in one form; what the form takes for granted is done here, once.

    Args:
        fast: how a label map is prepared; None for the paper's network.
    """
    batch = 16 if form == "batch of 16" else 1
    codes, others = (
        model.sample_codes(batch, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)
    )
    if fast is None:  # the paper's network does all the work for every picture
        return lambda: plain_decode(model, codes, label, instance)
    if form == "first decode":
        return lambda: model.decode(codes, model.prepare(label, instance, **fast))
    if form != "one-class reroll":
        prepared = model.prepare(label, instance, keep=0, **fast)
        if not fast["cuda_graphs"]:
            return lambda: model.decode(codes, prepared)
        turns = itertools.cycle((others, codes))  # nothing but the codes' difference is drawn
        return lambda: model.decode(next(turns), prepared)
    rerolled, prepared = codes.clone(), model.prepare(label, instance, **fast)
    shown = torch.unique(label).tolist()
    model.decode(codes, prepared)
    turn = 0

    def reroll() -> Tensor:
        nonlocal turn
        rerolled[:, shown[-1]] = (others, codes)[turn % 2][:, shown[-1]]
        turn += 1
        return model.decode(rerolled, prepared)

    return reroll


def plain_decode(model: GroupDNet, codes: Tensor, label: Tensor, instance: Tensor | None = None) -> Tensor:
    """A picture by the paper's network."""
    order = model.class_order
    edges = None if instance is None else instance_edges(instance)
    return model.decoder(order.codes_in_slots(codes), order.label_in_slots(label), edges)


def alternately(
    forms: Mapping[str, Draw], repeats: int, device: torch.device, *, gradients: bool = False
) -> dict[str, float]:
    """Median seconds of each form; they take turns, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(repeats + 1):
        for name, draw in forms.items():
            with torch.set_grad_enabled(gradients):
                synchronise(device)
                start = time.perf_counter()
                draw()
                synchronise(device)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_memory(preset: str, args: argparse.Namespace, form: str, lookup: bool) -> float:
    """Peak MiB above the model's, in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_memory, (preset, vars(args), form, lookup))


def _peak_memory(preset: str, args: dict, form: str, lookup: bool) -> float:
    torch.set_num_threads(args["threads"])
    device = torch.device(args["device"])
    model, label, instance = build(preset, args["data_dir"], device, getattr(torch, args["dtype"]))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        if not lookup:
            model.to(memory_format=torch.contiguous_format)
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = resident_peak()
    with torch.inference_mode():
        draw = draws(model, label, instance, form, fast_options(args) if lookup else None)
        for _ in range(2):
            draw()
    if device.type == "cuda":
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    return (resident_peak() - before) / 2**20


def resident_peak() -> int:
    """Largest resident set of this process since it was last reset, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int = 2048) -> float:
    """Multiply-accumulates a second, in 1e9, of a large matrix product."""
    a, b = (torch.randn(side, side).to(device, dtype) for _ in range(2))
    times = alternately({"product": lambda: a @ b}, 9, device)
    return side**3 / times["product"] / 1e9


def main_path_macs(model: GroupDNet) -> int:
    """Multiply-accumulates of one picture without the label map's part."""
    pixels = model.config.latent_size[0] * model.config.latent_size[1]
    total = pixels * model.decoder.fc.weight.numel()
    for i, block in enumerate(model.decoder.blocks):
        for name in ("conv_0", "conv_1", "conv_s"):
            if hasattr(block, name):
                total += pixels * 4**i * getattr(block, name).weight.numel()
    return total + pixels * 4 ** (len(model.decoder.blocks) - 1) * model.decoder.to_rgb.weight.numel()


# -- what it is measured on ------------------------------------------------------------------------------------


def build(
    preset: str, data_dir: str | None, device: torch.device, dtype: torch.dtype
) -> tuple[GroupDNet, Tensor, Tensor | None]:
    """A full-width network, one label map of its size, and an instance map where it asks for one."""
    model = GroupDNet(GroupDNetConfig.preset(preset)).to(device, dtype).eval()
    label = label_maps(preset, data_dir, model.config.image_size, 1).to(device)
    instance = label * 1000 if model.config.instance_edges else None
    return model, label, instance


def label_maps(preset: str, data_dir: str | None, size: tuple[int, int], count: int) -> Tensor:
    """int64 [count, H, W]: real maps, or drawn people (any number of classes is a subset of the preset's)."""
    if data_dir is not None:
        name = {"deepfashion": "fashion8", "cityscapes": "camvid", "ade20k": "coco130"}[preset]
        pictures = PairedImages.from_folder(Path(data_dir) / name, size)
        return torch.stack([pictures[i * len(pictures) // count]["label"] for i in range(count)])
    return torch.stack(
        [torch.from_numpy(draw_figure(seed, size)[1].astype(np.int64)) for seed in range(count)]
    )


def regions(classes: int, size: int, batch: int) -> Tensor:
    """Round regions of random classes, int64 [batch, size, size]: each place has the class of the nearest seed."""
    generator = torch.Generator().manual_seed(classes + size)
    count = min(classes, 24)
    places = torch.rand(batch, count, 2, generator=generator) * size
    ids = torch.stack([torch.randperm(classes, generator=generator)[:count] for _ in range(batch)])
    rows, columns = torch.arange(size)[:, None], torch.arange(size)[None]
    distance = (rows - places[:, :, :1, None]).square() + (columns - places[:, :, 1:, None]).square()
    return ids.gather(1, distance.argmin(dim=1).flatten(1)).view(batch, size, size)


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
