"""Reading the authors' checkpoints (SMIS, 2020-06) strictly, under our names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from torch import Tensor

from groupdnet_hub.io.foreign_weights import read_foreign_tensors

# What the card of a converted model says.
LICENSE = "cc-by-nc-sa-4.0"
LICENSE_NOTE = (
    "The weights were converted from the authors' SMIS checkpoints, which are licensed CC BY-NC-SA 4.0: no commercial "
    "use, share alike, name the authors."
)
UNTRAINED_ENCODER = (
    "Converted without an encoder checkpoint: the encoder is untrained, so encoding a photo means nothing."
)

_COUNTER = "num_batches_tracked"


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of an original checkpoint, ``.pth`` (no pickled code) or ``.safetensors``, by their names.

    Raises:
        ValueError: for a missing, damaged or foreign file, or one that holds code.
    """
    # Checkpoints saved from DataParallel have this in front of every name.
    return {key.removeprefix("module."): value for key, value in read_foreign_tensors(path).items()}


def matched(
    originals: Mapping[str, Tensor],
    rename: Callable[[str], str | None],
    wanted: Mapping[str, Tensor],
    name: str,
) -> dict[str, Tensor]:
    """The tensors under our names, all of them and nothing else.

    Args:
        rename: an original key as ours; None for an unknown one.
        wanted: the state dict to fill.
        name: how messages call the checkpoint.

    Raises:
        ValueError: for unknown and missing keys and wrong shapes, by name.
    """
    found: dict[str, Tensor] = {}
    problems = []
    for key, value in originals.items():
        ours = rename(key)
        if ours is None or ours not in wanted:
            problems.append(f"{key} is not known")
            continue
        found[ours] = value
        if value.shape != wanted[ours].shape:
            problems.append(f"{key} has shape {tuple(value.shape)} instead of {tuple(wanted[ours].shape)}")
    # Batch-norm counters say nothing, and older checkpoints lack them.
    problems += [
        f"nothing in it becomes {key}" for key in wanted if key not in found and not key.endswith(_COUNTER)
    ]
    if problems:
        more = f", and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise ValueError(
            f"{name} does not fit: {'; '.join(problems[:4])}{more}. Is it the right file and the right preset?"
        )
    return {key: found.get(key, value) for key, value in wanted.items()}
