"""Export a model: its files are written, run again and compared with PyTorch, and then appear all together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from groupdnet_hub.baselines.registry import saved_config
from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.export.description import DESCRIPTION_FILE, description_text, file_name
from groupdnet_hub.export.formats import FORMATS, Format, FormatName
from groupdnet_hub.export.graphs import Graph, example_inputs, graphs_of
from groupdnet_hub.export.verification import DiffersError, verified_difference
from groupdnet_hub.io.atomic import atomic_writes, names_in
from groupdnet_hub.models.groupdnet import GroupDNet

# Graphs are recorded with this batch; 0 and 1 would be taken for constants.
_RECORDED_BATCH = 2
_GRAPHS = ("encoder", "decoder", "prior")


@dataclass(frozen=True)
class Exported:
    """What an export has written.

    Attributes:
        description: path of ``export.json``.
        files: path of each graph's file, by the graph's name.
        differences: how far each graph's outputs were from PyTorch's, at most.
    """

    description: Path
    files: Mapping[str, Path]
    differences: Mapping[str, float]


def export_model(
    model: GroupDNet | str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    format: FormatName = "onnx",
    overwrite: bool = False,
) -> Exported:
    """Write a model's encoder, decoder and fitted prior as one file each, and ``export.json``, which describes them.

    The files are in single precision, for pictures of the model's size, in batches of any size. The encoder
    makes mean and log variance of the codes from pictures and label maps; the decoder makes pictures from codes and
    label maps (and instance maps, if the model draws their edges); the prior, where one was fitted, makes codes from
    random numbers. The files do not check class ids.

    Each file is run (those of ONNX by onnxruntime) on batches of 1, 3 and 8, and must give what PyTorch gives to 1e-4;
    otherwise nothing is written.

    Args:
        model: a model, or its folder or Hub id.
        output_dir: an empty folder, or one that does not exist.
        format: ``onnx``, or ``torch-export`` for a program of ``torch.export``.
        overwrite: whether the folder may hold an export, which is replaced; other files there stay.

    Raises:
        ValueError: for an unknown format, a folder that holds files, a model that is no GroupDNet, and
            (``DiffersError``) a file that differs from PyTorch.
        ModuleNotFoundError: without the packages of ``pip install groupdnet-hub[export]``, for ONNX.
        OSError: for a model that is not there, and (``CannotWriteError``) a full disk and the like.
    """
    found = FORMATS.get(format)
    if found is None:
        raise ValueError(f"format is {format!r}; it must be {' or '.join(FORMATS)}")
    found.check_packages()
    folder = Path(output_dir)
    _check_folder(folder, overwrite=overwrite)
    model = model if isinstance(model, GroupDNet) else _loaded(model)
    graphs, differences = graphs_of(model), {}
    with atomic_writes(folder) as apart:
        for graph in graphs:
            path = apart / file_name(graph, found)
            differences[graph.name] = _written(model, graph, found, path)
        text = description_text(model, graphs, format, found, differences)
        (apart / DESCRIPTION_FILE).write_text(text, encoding="utf-8")
    files = {graph.name: folder / file_name(graph, found) for graph in graphs}
    for name in _of_exports() - {DESCRIPTION_FILE, *(path.name for path in files.values())}:
        (folder / name).unlink(missing_ok=True)  # an earlier export's, of another format or with a prior
    return Exported(folder / DESCRIPTION_FILE, files, differences)


@torch.no_grad()
def _written(model: GroupDNet, graph: Graph, format: Format, path: Path) -> float:
    """Write a graph's file, and return how far its outputs are from PyTorch's."""
    format.write(graph, example_inputs(model, graph, _RECORDED_BATCH), path)
    try:
        return verified_difference(model, graph, format.load(path))
    except DiffersError as error:
        raise DiffersError(f"{error}: nothing was written") from None


def _loaded(path_or_id: str | os.PathLike[str]) -> GroupDNet:
    config = saved_config(path_or_id)
    if not isinstance(config, GroupDNetConfig):
        raise ValueError(
            f"{path_or_id} is a {config.system_name}: only a GroupDNet is exported, since the systems that it is "
            "compared with have codes and inputs of many kinds"
        )
    return GroupDNet.from_pretrained(path_or_id)


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: choose a folder for the export")
    names = names_in(folder) if folder.is_dir() else set()
    if not names:
        return
    shown = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
    if not overwrite:
        replace = "--overwrite_output_dir (overwrite=True) replaces an export, or "
        remedy = f"{replace if DESCRIPTION_FILE in names else ''}choose another folder"
        raise ValueError(f"{folder} is not empty; it holds {shown}: {remedy}")
    if DESCRIPTION_FILE not in names:
        raise ValueError(f"{folder} holds {shown} and no export to overwrite: choose another folder")


def _of_exports() -> set[str]:
    """Return the names of all files that exports have."""
    return {DESCRIPTION_FILE} | {f"{name}{one.suffix}" for name in _GRAPHS for one in FORMATS.values()}
