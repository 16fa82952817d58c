"""The part of a checkpoint that accelerate does not know: the generators of noise, and averaged weights.

It is kept as plain tensors. What is registered with accelerate by ``register_for_checkpointing`` is pickled instead,
and unpickled without any restriction: a checkpoint from a stranger could then run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from groupdnet_hub.io.finite import check_all_finite

_FILE = "own_state.safetensors"
# The averaged weights: what other parts keep need not be finite.
_AVERAGE = "average"
_PICKLED = "custom_checkpoint_*.pkl"


class Stateful(Protocol):
    """What has a state of tensors."""

    def state_dict(self) -> Mapping[str, Tensor]: ...

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> Any: ...


def keep_extra_state(accelerator: Accelerator, parts: Mapping[str, Stateful]) -> None:
    """Let the accelerator's ``save_state`` and ``load_state`` save and load these parts as well."""

    def save(models: Any, weights: Any, folder: str) -> None:
        if accelerator.is_main_process:
            save_file(_tensors(parts), Path(folder) / _FILE)

    def load(models: Any, folder: str) -> None:
        _load(Path(folder), parts)

    accelerator.register_save_state_pre_hook(save)
    accelerator.register_load_state_pre_hook(load)


def _tensors(parts: Mapping[str, Stateful]) -> dict[str, Tensor]:
    # Cloned: safetensors refuses tensors that share memory.
    return {
        f"{name}/{key}": value.detach().cpu().contiguous().clone()
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }


def _load(folder: Path, parts: Mapping[str, Stateful]) -> None:
    if any(folder.glob(_PICKLED)):
        raise ValueError(
            f"{folder} holds pickles, which are not read because such files can run code. It is of an earlier version: "
            f"start a new run with --pretrained_model_name_or_path {folder / 'generator'}"
        )
    try:
        found = load_file(folder / _FILE)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder} has no readable {_FILE}: {error}") from None
    wanted = {key: (value.shape, value.dtype) for key, value in _tensors(parts).items()}
    if {key: (value.shape, value.dtype) for key, value in found.items()} != wanted:
        raise ValueError(
            f"{_FILE} in {folder} is not of a run with these flags: it holds {_names(found)}, and this run needs "
            f"{_names(wanted)} (--use_ema, --diffaugment, --diffaugment_target, --recoloured_classes, "
            "--perceptual_crop, --redraw_weight, --redraw_memory, --redraw_window, --discriminator, "
            "--discriminator_crop and --labelmix_weight must stay as they were; a run that was started without redraw "
            "windows resumes with --redraw_window 1)"
        )
    for name, part in parts.items():
        own = f"{name}/"
        state = {k.removeprefix(own): v for k, v in found.items() if k.startswith(own)}
        if name == _AVERAGE:
            check_all_finite(state, f"{_FILE} of {folder}")
        part.load_state_dict(state)


def _names(tensors: Mapping[str, Any]) -> str:
    return ", ".join(sorted({key.partition("/")[0] for key in tensors})) or "nothing"
