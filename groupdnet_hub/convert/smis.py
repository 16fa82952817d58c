"""The authors' checkpoints (SMIS, 2020-06) as a GroupDNet: read strictly, under our names."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.config.presets import PRESETS
from groupdnet_hub.convert.smis_keys import encoder_key, generator_key, is_dead_generator_key
from groupdnet_hub.io.foreign_weights import read_foreign_tensors
from groupdnet_hub.models.groupdnet import GroupDNet

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


def from_smis(
    model_class: type[GroupDNet],
    generator: str | os.PathLike[str],
    encoder: str | os.PathLike[str] | None = None,
    *,
    preset: str | None = None,
    config: GroupDNetConfig | None = None,
) -> GroupDNet:
    """Return the authors' checkpoints as a model, ready for :meth:`GroupDNet.save_pretrained`.

    Args:
        model_class: what to make of them.
        generator: ``*_net_G.pth`` (tensors only, no pickled code), or safetensors.
        encoder: ``*_net_E.pth``, or safetensors, as well.
        preset: ``deepfashion``, ``cityscapes`` or ``ade20k``; or a ``config``, for other widths.
        config: the configuration, instead of a preset's.

    Raises:
        ValueError: for an unreadable file, an unknown or missing key or a wrong shape; each is named.

    Warns:
        UserWarning: if there is no encoder, so that ``encode`` means nothing.
    """
    if config is None:
        if preset is None:
            raise ValueError(f"name a preset ({', '.join(PRESETS)}) or a configuration")
        config = GroupDNetConfig.preset(preset)
    originals, notes = read_checkpoint(generator), []
    model = model_class(config)
    dead = [key for key in originals if is_dead_generator_key(key)]
    if dead:
        notes.append(
            f"{len(dead)} tensors that the original network never uses were left out ({dead[0]}, ...)."
        )
    live = {key: value for key, value in originals.items() if key not in dead}
    name = Path(generator).name
    model.decoder.load_state_dict(matched(live, generator_key, model.decoder.state_dict(), name))
    if encoder is None:
        notes.append(UNTRAINED_ENCODER)
        warnings.warn(UNTRAINED_ENCODER, stacklevel=3)
    else:
        name = Path(encoder).name
        encoder_tensors = matched(read_checkpoint(encoder), encoder_key, model.encoder.state_dict(), name)
        model.encoder.load_state_dict(encoder_tensors)
    model.card_facts = {"license": LICENSE, "license_note": LICENSE_NOTE, "notes": notes}
    return model.eval()


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors of an original checkpoint, ``.pth`` (no pickled code) or ``.safetensors``, by their names.

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
    """Return the tensors under our names, all of them and nothing else.

    Args:
        originals: tensors of the checkpoint, by their keys in it.
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
