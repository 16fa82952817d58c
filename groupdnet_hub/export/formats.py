"""The formats that graphs are written in: how one is recorded, written, and run again from its file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from groupdnet_hub.export.graphs import Graph

FormatName = Literal["onnx", "torch-export"]
# Of ONNX's operators; runtimes of 2023 and later have it.
OPSET = 18
# A file of ONNX is one protobuf message, which cannot be longer.
_ONNX_BYTES = 2**31
# Beside the weights, for the operators.
_ONNX_SPARE_BYTES = 2**24

# From the inputs of a graph to its outputs.
Run = Callable[[Sequence[Tensor]], list[Tensor]]


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        suffix: of its files.
        packages: what writing and checking it needs beside PyTorch.
        opset: version of its operators, where it has one.
        write: records a graph on example inputs and writes it to a path; the batch stays open.
        load: returns what runs the graph in a file on a CPU.
    """

    suffix: str
    packages: tuple[str, ...]
    opset: int | None
    write: Callable[[Graph, tuple[Tensor, ...], Path], None]
    load: Callable[[Path], Run]

    def check_packages(self) -> None:
        """Refuse to begin without a package.

        Raises:
            ImportError: naming what to install.
        """
        missing = [name for name in self.packages if find_spec(name) is None]
        if missing:
            raise ModuleNotFoundError(
                f"this format needs {', '.join(missing)}: pip install 'groupdnet-hub[export]'",
                name=missing[0],
            )


def _write_onnx(graph: Graph, inputs: tuple[Tensor, ...], path: Path) -> None:
    weights = sum(tensor.numel() * tensor.element_size() for tensor in graph.module.state_dict().values())
    if weights + _ONNX_SPARE_BYTES > _ONNX_BYTES:
        raise ValueError(
            f"the {graph.name} has {weights / 2**30:.1f} GiB of weights, and a file of ONNX holds less than 2 GiB: "
            "export it as torch-export"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        torch.onnx.export(
            graph.module,
            inputs,
            path,
            input_names=[port.name for port in graph.inputs],
            output_names=[port.name for port in graph.outputs],
            dynamic_shapes=_open_batch(inputs),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _load_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        given = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return [torch.from_numpy(np.asarray(output)) for output in session.run(None, given)]

    return run


def _write_torch_export(graph: Graph, inputs: tuple[Tensor, ...], path: Path) -> None:
    program = torch.export.export(graph.module, inputs, dynamic_shapes=_open_batch(inputs))
    torch.export.save(program, path)


def _load_torch_export(path: Path) -> Run:
    module = torch.export.load(path).module()

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        outputs = module(*inputs)
        return [outputs] if isinstance(outputs, Tensor) else list(outputs)

    return run


def _open_batch(inputs: Sequence[Tensor]) -> tuple[dict[int, torch.export.Dim], ...]:
    batch = torch.export.Dim("batch")
    return tuple({0: batch} for _ in inputs)


FORMATS: Mapping[FormatName, Format] = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime"), OPSET, _write_onnx, _load_onnx),
    "torch-export": Format(".pt2", (), None, _write_torch_export, _load_torch_export),
}
