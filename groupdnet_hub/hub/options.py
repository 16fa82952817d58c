"""Options of loading and saving: ours, what transformers and diffusers call them, and what we do not have."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

# What always holds, and so may be asked for; asking for anything else is refused.
_ALWAYS: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "use_safetensors": ((None, True), "weights are read from safetensors files only"),
    "safe_serialization": ((None, True), "weights are saved as safetensors only"),
    "trust_remote_code": ((None, False), "no code is loaded with a model"),
    "low_cpu_mem_usage": ((None, True), "weights go from the file into the model, without a second copy"),
    "strict": ((None, True), "the weights must fit the configuration exactly"),
    "ignore_mismatched_sizes": (
        (None, False),
        "the weights must fit; transfer_classes makes a model of other classes from a trained one",
    ),
}
# What others call an option of ours.
_OURS = {"use_auth_token": "token", "map_location": "device", "torch_device": "device"}  # nosec B105: names of options
_ONE_DEVICE = "a model lies on one device, which device names"
_NOT_QUANTISED = "models are not quantised; dtype='bfloat16' halves their memory"
_OF_PIPELINE = "it is an option of GroupDNetPipeline"
_WITHOUT = {
    "max_memory": _ONE_DEVICE,
    "offload_folder": _ONE_DEVICE,
    "offload_state_dict": _ONE_DEVICE,
    "quantization_config": _NOT_QUANTISED,
    "load_in_8bit": _NOT_QUANTISED,
    "load_in_4bit": _NOT_QUANTISED,
    "config": "a model is built from its own config.json; GroupDNet(config) makes a new one",
    "state_dict": "call load_state_dict on the loaded model",
    "custom_pipeline": "GroupDNetPipeline is the only pipeline",
    "proxies": "set the environment variable HTTPS_PROXY",
    "mirror": "set the environment variable HF_ENDPOINT",
    "resume_download": "downloads are always resumed",
    "local_dir": "cache_dir names the folder for downloads",
    "max_shard_size": "a model is saved in one file",
    "cache_bytes": _OF_PIPELINE,
    "compiled": _OF_PIPELINE,
    "cuda_graphs": _OF_PIPELINE,
    "batch_size": _OF_PIPELINE,
}
# Of device_map, where parts of large models lie on several devices.
_SEVERAL_DEVICES = ("balanced", "balanced_low_0", "sequential")


class HubOptions(TypedDict, total=False):
    """Options of ``hf_hub_download`` for a model of the Hub."""

    revision: str | None
    cache_dir: str | Path | None
    token: str | bool | None
    local_files_only: bool
    force_download: bool
    subfolder: str | None


LOAD_OPTIONS = (
    "dtype",
    "torch_dtype",
    "device",
    "device_map",
    "variant",
    "limits",
    *HubOptions.__annotations__,
)
PUSH_OPTIONS = (
    "private",
    "token",
    "commit_message",
    "branch",
    "create_pr",
    "allow_patterns",
    "ignore_patterns",
    "delete_patterns",
)


@dataclass(frozen=True)
class Target:
    """What a model becomes when it is loaded.

    Attributes:
        dtype: precision of the weights; None for that of the file.
        device: device of the model.
    """

    dtype: torch.dtype | None
    device: torch.device


def known_options(given: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return the options that have an effect, and refuse all others by name.

    Args:
        given: options as they were given.
        known: names of those that have an effect.

    Raises:
        TypeError: for an unknown option; the message names ours.
        ValueError: for a value that would change what always holds.
    """
    known = tuple(known)
    kept = {}
    for name, value in given.items():
        if name in known:
            kept[name] = value
        elif name in _ALWAYS:
            allowed, why = _ALWAYS[name]
            if not any(value is one for one in allowed):
                raise ValueError(f"{name} is {value!r}, but {why}: leave {name} out")
        elif name in _OURS and _OURS[name] in known:
            raise TypeError(f"unknown option {name}: here it is {_OURS[name]}")
        elif name in _WITHOUT:
            raise TypeError(f"unknown option {name}: {_WITHOUT[name]}")
        else:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? There are" if near else "there are"
            raise TypeError(f"unknown option {name}: {hint} {', '.join(known)}")
    return kept


def check_hub_options(options: HubOptions) -> HubOptions:
    """Return options of the Hub without those that are None and mean nothing.

    Raises:
        TypeError: for an unknown option.
        ValueError: if a download is both forbidden and forced.
    """
    known: Any = known_options(options, HubOptions.__annotations__)
    if known.get("local_files_only") and known.get("force_download"):
        raise ValueError("local_files_only and force_download exclude each other: leave one of them out")
    return known


def target_of(
    dtype: torch.dtype | str | None = None,
    torch_dtype: torch.dtype | str | None = None,
    device: str | int | torch.device | None = None,
    device_map: Any = None,
) -> Target:
    """Return the precision and the device that the options of ``from_pretrained`` name.

    Raises:
        ValueError: for two different values of one thing, an unknown dtype, and more than one device.
    """
    if dtype is not None and torch_dtype is not None and _checked_dtype(dtype) != _checked_dtype(torch_dtype):
        raise ValueError(
            f"dtype is {dtype!r} and torch_dtype, its old name, {torch_dtype!r}: give dtype only"
        )
    mapped = _device_of_map(device_map)
    wanted = None if device is None else _checked_device(device, "device")
    if wanted is not None and mapped is not None and wanted != mapped:
        raise ValueError(f"device is {device!r} and device_map {device_map!r}: give device only")
    return Target(
        _checked_dtype(torch_dtype if dtype is None else dtype), wanted or mapped or torch.device("cpu")
    )


def destination(
    places: Iterable[Any], device: Any = None, dtype: torch.dtype | str | None = None
) -> dict[str, Any]:
    """Return the keyword arguments of ``torch.nn.Module.to`` for what a ``to`` was given.

    Args:
        places: devices and dtypes, by position.
        device: a device, by name.
        dtype: a dtype, by name.

    Raises:
        ValueError: for two of one kind, an unknown dtype, and a device that is not there.
    """
    found: dict[str, list[Any]] = {"device": [device], "dtype": [dtype]}
    for place in places:
        is_dtype = isinstance(place, torch.dtype) or (isinstance(place, str) and place in DTYPES)
        found["dtype" if is_dtype else "device"].append(place)
    given = {name: [value for value in values if value is not None] for name, values in found.items()}
    for name, values in given.items():
        if len(values) > 1:
            raise ValueError(f"to is given {len(values)} values for {name}: {', '.join(map(repr, values))}")
    kept: dict[str, Any] = {"device": [_checked_device(value, "device") for value in given["device"]]}
    kept["dtype"] = [_checked_dtype(value) for value in given["dtype"]]
    return {name: values[0] for name, values in kept.items() if values}


def _checked_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Return the precision to load in; None for that of the file."""
    if dtype == "auto":
        return None
    if dtype is None:
        return torch.float32
    found = DTYPES.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else dtype
    if found not in DTYPES.values():
        raise ValueError(
            f"dtype is {dtype!r}; it must be 'auto' or one of {', '.join(DTYPES)} (name or torch dtype)"
        )
    return found


def _device_of_map(device_map: Any) -> torch.device | None:
    """Return the one device of a ``device_map`` of transformers or diffusers."""
    if device_map is None:
        return None
    if isinstance(device_map, Mapping):
        if len(set(device_map.values())) != 1:
            raise ValueError(f"device_map is {device_map!r}, but {_ONE_DEVICE}: give device='cuda'")
        device_map = next(iter(device_map.values()))
    if device_map == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    if device_map in _SEVERAL_DEVICES:
        raise ValueError(f"device_map is {device_map!r}, but {_ONE_DEVICE}: give device='cuda'")
    return _checked_device(device_map, "device_map")


def _checked_device(device: Any, name: str) -> torch.device:
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"{name} is {device!r}, which is not a device such as 'cpu' or 'cuda:0'") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"{name} is {device!r}, but torch finds no CUDA device here: use 'cpu'")
    return found
