"""A checkpoint as files of limited size, without pickles, and back (``train/tools/state_parts.py``).

:func:`split` writes a folder of ``weights-1.safetensors``, ``weights-2.safetensors``, ..., ``optimizer-1.safetensors``,
... and ``state.json``; docs/gpu_kit.md describes them. :func:`join` makes of it the checkpoint that it was.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils.other import load  # refuses pickles of anything but tensors, numbers and numpy arrays
from safetensors.torch import save_file
from torch import Tensor

from groupdnet_hub.io.atomic import atomic_writes
from groupdnet_hub.io.strict_json import MAX_BYTES, read_json
from groupdnet_hub.io.tensors import MAX_HEADER, open_tensors
from groupdnet_hub.runs.output_lock import sole_writer
from groupdnet_hub.runs.scripts import first_line
from groupdnet_hub.training.state.checkpoints import (
    checkpoint_under_way,
    file_checksum,
    list_checkpoints,
    read_progress,
)
from groupdnet_hub.training.state.tensor_parts import TensorReader, TensorWriter
from groupdnet_hub.training.state.tree import from_json, to_json

STATE_FILE = "state.json"
_FORMAT = 1
_PART = re.compile(r"(weights|optimizer)-\d+\.safetensors")
# A file of a checkpoint: in it, or in a folder of it.
_FILE = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_MODEL_FOLDER = "generator/"
_OWN_STATE, _AVERAGE, _FITTED = "own_state.safetensors", "average/", "average/module.prior."
# accelerate numbers the networks as train.py prepares them: the model, the discriminator.
_MODEL, _DISCRIMINATOR = "model.safetensors", "model_1.safetensors"


def split(
    checkpoint: Path,
    folder: Path,
    *,
    part_mb: float = 16.0,
    half_weights: bool = False,
    half_optimizer: bool = False,
    state_only: bool = False,
) -> list[Path]:
    """Write a checkpoint as files of at most ``part_mb`` million bytes each.

    Args:
        checkpoint: a folder that ``train.py`` wrote.
        part_mb: largest size of a file, in million bytes.
        folder: made if it is missing; parts of another state in it are replaced.
        half_weights: store what ships in 16-bit floats: the average, the model folder and the discriminator.
        half_optimizer: store the optimisers' moments in bfloat16.
        state_only: leave out the model folder and the prior fitted to the average, which training measures again.

    Returns:
        The files, ``state.json`` last.

    Raises:
        ValueError: for a folder that is no complete checkpoint, and for one that holds what cannot be stored.
    """
    if not 0 < part_mb < math.inf:
        raise ValueError(f"--checkpoint_part_mb is {part_mb}; it must be a number above 0")
    progress = read_progress(checkpoint)
    writer, files = TensorWriter(), {}
    names = sorted(p.relative_to(checkpoint).as_posix() for p in checkpoint.rglob("*") if p.is_file())
    names.remove("progress.json")
    for name in sorted(names, key=lambda name: name.startswith("optimizer")):
        if state_only and name.startswith(_MODEL_FOLDER):
            continue
        files[name] = _described(checkpoint, name, writer, half_weights, half_optimizer, state_only)
    with atomic_writes(folder) as partial:
        parts, places = writer.write(partial, int(part_mb * 1e6))
        record = {
            "format": _FORMAT,
            "progress": progress,
            "parts": [{"file": name, **_identity(partial / name)} for name in parts],
            "places": places,
            "files": files,
        }
        text = json.dumps(record)
        if len(text) > MAX_BYTES:
            raise ValueError(f"{checkpoint} has too many tensors to be described in {MAX_BYTES} bytes")
        (partial / STATE_FILE).write_text(text)
    for path in folder.iterdir():
        if _PART.fullmatch(path.name) and path.name not in parts:
            path.unlink()
    return [folder / name for name in (*parts, STATE_FILE)]


def join(folder: Path, output_dir: Path) -> Path:
    """Write the checkpoint that a folder of parts holds into the folder of a run, where ``latest`` finds it.

    Returns:
        ``OUTPUT_DIR/checkpoint-STEP``; it is exact unless the parts were stored in half precision.

    Raises:
        ValueError: for parts that are missing or damaged (all of them are named), a run that has this checkpoint, and a
            run that another process writes to.
    """
    record = _read_record(folder)
    _check_parts(folder, record["parts"])
    try:
        reader = TensorReader(folder, [part["file"] for part in record["parts"]], record["places"])
        step = int(record["progress"]["step"])
        wrong = [name for name in record["files"] if not _FILE.fullmatch(name) or name == "progress.json"]
        if wrong:
            raise ValueError(f"{folder / STATE_FILE} names the file {wrong[0]!r}, which no checkpoint has")
        with sole_writer(output_dir, "train", "choose another folder"):
            if (output_dir / f"checkpoint-{step}").exists():
                raise ValueError(f"{output_dir} has a checkpoint-{step}: remove it, or choose another folder")
            with checkpoint_under_way(output_dir, step, record["progress"]) as partial:
                for name, entry in record["files"].items():
                    _write_file(partial / name, entry, reader.find)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / STATE_FILE} is damaged: {error!r}") from None
    return output_dir / f"checkpoint-{step}"


def _described(
    checkpoint: Path,
    name: str,
    writer: TensorWriter,
    half_weights: bool,
    half_optimizer: bool,
    state_only: bool,
) -> dict[str, Any]:
    """One file of a checkpoint as JSON, with its tensors taken into store."""
    path = checkpoint / name
    if path.suffix == ".safetensors":
        ships = name.startswith(_MODEL_FOLDER) or name == _DISCRIMINATOR
        tensors = {}
        with open_tensors(path, name, MAX_HEADER) as file:
            for key in file.shapes:
                tensor = file.read(key)
                if state_only and name == _OWN_STATE and key.startswith(_FITTED):
                    tensor = _unfitted(checkpoint, key, tensor)
                half = half_weights and (ships or (name == _OWN_STATE and key.startswith(_AVERAGE)))
                tensors[key] = writer.add(tensor, "weights", torch.float16 if half else None)
            return {"tensors": tensors, "metadata": dict(file.metadata)}
    if path.suffix in (".bin", ".pkl", ".pt"):
        group = "optimizer" if name.startswith("optimizer") else "weights"
        moments = torch.bfloat16 if half_optimizer and group == "optimizer" else None
        try:
            value = load(path, map_location="cpu")
            return {"pickled": to_json(value, lambda tensor: writer.add(tensor, group, moments))}
        except Exception as error:  # of torch and of ours, all told the same way
            raise ValueError(f"{name} of {checkpoint} cannot be stored: {first_line(error)}") from None
    content = (
        torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8) if path.stat().st_size else None
    )
    return {"bytes": None if content is None else writer.add(content, "weights")}


def _unfitted(checkpoint: Path, key: str, tensor: Tensor) -> Tensor:
    """Return a tensor of the average's prior as the model being trained has it: that one is not fitted."""
    with open_tensors(checkpoint / _MODEL, _MODEL, MAX_HEADER) as file:
        found = file.read(key.removeprefix(f"{_AVERAGE}module."))
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            raise ValueError(f"{key} in {_OWN_STATE} does not fit {_MODEL}")
        return found.clone()


def _write_file(path: Path, entry: Mapping[str, Any], find: Callable[[Any], Tensor]) -> None:
    path.parent.mkdir(exist_ok=True)
    if "tensors" in entry:
        tensors = {key: find(description) for key, description in entry["tensors"].items()}
        save_file(tensors, path, entry["metadata"] or None)
    elif "pickled" in entry:
        torch.save(from_json(entry["pickled"], find), path)
    else:
        path.write_bytes(b"" if entry["bytes"] is None else find(entry["bytes"]).numpy().tobytes())


def _read_record(folder: Path) -> dict[str, Any]:
    if not (folder / STATE_FILE).is_file():
        raise ValueError(f"{folder} holds no {STATE_FILE}: is it a folder that state_parts.py split wrote?")
    record = read_json(folder / STATE_FILE, STATE_FILE)
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise ValueError(f"{folder / STATE_FILE} is not of the format {_FORMAT}, which this version reads")
    missing = [key for key in ("progress", "parts", "places", "files") if key not in record]
    if missing:
        raise ValueError(f"{folder / STATE_FILE} is damaged: it lacks {missing[0]!r}")
    return record


def _check_parts(folder: Path, parts: Sequence[Mapping[str, Any]]) -> None:
    wrong = []
    for number, part in enumerate(parts, start=1):
        try:
            name, expected = part["file"], {key: part[key] for key in ("bytes", "sha256")}
        except (KeyError, TypeError):
            raise ValueError(f"{folder / STATE_FILE} is damaged: part {number} is not described") from None
        if not isinstance(name, str) or not _PART.fullmatch(name):
            raise ValueError(f"{folder / STATE_FILE} names the part {name!r}, which is none")
        if not (folder / name).is_file():
            wrong.append(f"{name} is missing")
        elif _identity(folder / name) != expected:
            wrong.append(f"{name} is not what was written")
    if wrong:
        raise ValueError(
            f"{folder} is not a complete state ({len(parts)} parts): {', '.join(wrong)}; copy it again"
        )


def _identity(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_checksum(path)}


def newest_checkpoint(path: Path) -> Path:
    """Return a checkpoint folder itself, or the newest one of a run.

    Raises:
        ValueError: where there is none.
    """
    if (path / "progress.json").is_file():
        return path
    found = list_checkpoints(path)
    if not found:
        raise ValueError(f"{path} is not a checkpoint and holds none")
    return found[-1]
