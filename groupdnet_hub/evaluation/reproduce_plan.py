"""The plan of reproduce.py: the systems of a table or a study, at the paper's scale or a small one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from groupdnet_hub import GroupDNetConfig, LabelSet
from groupdnet_hub.baselines import PAPER_WIDTH, SYSTEMS
from groupdnet_hub.evaluation.paper_tables import PAPER_TABLES


@dataclass(frozen=True)
class Scale:
    """Sizes and durations, the same for all systems.

    Attributes:
        size: (height, width) of the pictures.
        width: ``--width`` of train.py.
        train: further flags of train.py.
        hinge: further flags for systems that are trained as GroupDNet is (section 3.5); BicycleGAN, DSCGAN and
            pix2pixHD keep their own papers' rates and weights.
        evaluate: flags of evaluate.py.
        batch: batch size of all processes together.
        pictures: number of pictures that each system sees.
        epochs: passes over the data, instead of ``pictures``.
        perceptual_net: network of the perceptual loss.
        metrics: metrics of evaluate.py.
    """

    size: tuple[int, int]
    width: int
    train: tuple[str, ...]
    hinge: tuple[str, ...]
    evaluate: tuple[str, ...]
    batch: int
    pictures: int | None
    epochs: int | None
    perceptual_net: str
    metrics: tuple[str, ...]


_DIVERSITY = ("mcsd", "mocd", "lpips", "params", "macs", "fps")

SCALES: Mapping[str, Scale] = {
    "small": Scale(
        size=(64, 64),
        width=24,
        train=("--discriminator_width", "16", "--mixed_precision", "bf16"),
        hinge=("--learning_rate", "4e-4", "--kl_weight", "0.01"),
        evaluate=("--num_samples", "50", "--num_pairs", "5", "--sheet_rows", "2"),
        batch=8,
        pictures=6400,
        epochs=None,
        perceptual_net="vgg16",
        metrics=(*_DIVERSITY, "frechet"),
    ),
    # Section 4.1 and appendix A: batch 32, 60 epochs at the full rate and 40 down to 0.
    "paper": Scale(
        size=(256, 256),
        width=PAPER_WIDTH,
        train=("--lr_decay_start", "0.6"),
        hinge=(),
        evaluate=("--num_samples", "100", "--num_pairs", "19"),
        batch=32,
        pictures=None,
        epochs=100,
        perceptual_net="vgg19",
        metrics=(*_DIVERSITY, "fid"),
    ),
}


@dataclass(frozen=True)
class Entry:
    """One trained system of a table.

    Attributes:
        name: name of its folder and its row.
        system: ``--model`` of train.py.
        flags: further flags of train.py.
    """

    name: str
    system: str
    flags: tuple[str, ...] = ()


def table_entries(table: int) -> list[Entry]:
    """Return the systems of a table of the paper."""
    return [Entry(name, name) for name in PAPER_TABLES[table]]


def study_entries(labels: LabelSet, size: tuple[int, int]) -> list[Entry]:
    """Return three layouts of groups, each with two orders of the classes (the paper's appendix E).

    Groups fall throughout the decoder (Table 4), within its first blocks, or only at its last block. Classes are
    in the order of the data set, or with similar ones side by side.

    Args:
        labels: label set.
        size: (height, width) of the pictures.
    """
    falling = [block.groups for block in GroupDNetConfig.for_labels(labels, size, 8).blocks]
    levels = sorted(set(falling), reverse=True)
    early = [*levels, *[1] * (len(falling) - len(levels))]
    late = [levels[0]] * (len(falling) - 1) + [1]
    entries = []
    for name, groups in (("falling", falling), ("early", early), ("late", late)):
        for order in ("ids", "likeness"):
            flags = ("--groups", *map(str, groups), "--class_order", order)
            # The layout of Table 4 is the GroupDNet of the tables, which is trained once.
            same = name == "falling" and order == "ids"
            entries.append(
                Entry("GroupDNet", "GroupDNet") if same else Entry(f"{name}-{order}", "GroupDNet", flags)
            )
    return entries


def study_row_name(entry: Entry) -> str:
    """Return the name of an entry in the study."""
    return "falling-ids" if entry.name == "GroupDNet" else entry.name


def train_flags(
    entry: Entry, scale: Scale, *, processes: int, pictures: int | None, perceptual: Sequence[str]
) -> list[str]:
    """Return the flags of train.py for an entry, without folders.

    Args:
        entry: entry of the table.
        scale: scale of the table.
        processes: number of processes that divide a batch.
        pictures: number of pictures that each system sees, instead of the scale's.
        perceptual: flags of the perceptual network.

    Raises:
        ValueError: if the batch does not divide evenly by the processes.
    """
    if scale.batch % processes:
        raise ValueError(f"--num_processes {processes} cannot divide a batch of {scale.batch} evenly")
    flags = ["--model", entry.system, "--resolution", *map(str, scale.size), "--width", str(scale.width)]
    flags += ["--train_batch_size", str(scale.batch // processes), "--random_flip", *scale.train]
    seen = pictures or scale.pictures
    if seen:
        steps = max(1, seen // scale.batch)
        flags += ["--max_train_steps", str(steps), "--checkpointing_steps", str(max(1, steps // 3))]
        flags += ["--validation_steps", str(steps + 1)]
    else:
        flags += ["--num_train_epochs", str(scale.epochs)]
    if SYSTEMS[entry.system].objective == "hinge":
        flags += scale.hinge
    return [*flags, *perceptual, *entry.flags]
