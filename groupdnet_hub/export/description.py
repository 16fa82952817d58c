"""The file that says what is in an export, for whoever has its files and no PyTorch: ``export.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from groupdnet_hub import __version__
from groupdnet_hub.export.formats import Format, FormatName
from groupdnet_hub.export.graphs import Graph, Port
from groupdnet_hub.export.verification import BATCH_SIZES, TOLERANCE
from groupdnet_hub.models.groupdnet import GroupDNet

DESCRIPTION_FILE = "export.json"


def description_text(
    model: GroupDNet,
    graphs: Sequence[Graph],
    format_name: FormatName,
    format: Format,
    differences: Mapping[str, float],
) -> str:
    """Return the text of ``export.json``.

    Args:
        model: the model.
        graphs: what was exported of it.
        format_name: name of the format.
        format: the format.
        differences: by graph, how far its outputs were from PyTorch's.
    """
    config, labels = model.config, model.labels
    values: dict[str, Any] = {
        "format": format_name,
        "opset": format.opset,
        "system": config.system_name,
        "image_size": list(config.image_size),
        "code_shape": list(config.code_shape),
        "classes": [
            {"id": id_, "name": name, "colour": list(colour)}
            for id_, (name, colour) in enumerate(zip(labels.names, labels.palette, strict=True))
        ],
        "unknown": list(config.ignore),
        "files": {
            graph.name: {
                "file": file_name(graph, format),
                "inputs": [_port(port, model, graphs) for port in graph.inputs],
                "outputs": [_port(port, model, graphs) for port in graph.outputs],
                "largest_difference": differences[graph.name],
            }
            for graph in graphs
        },
        "verified": {"batch_sizes": list(BATCH_SIZES), "tolerance": TOLERANCE},
        "versions": {"groupdnet_hub": __version__}
        | {package: version(package) for package in ("torch", *format.packages)},
        "license": model.card_facts.get("license"),
    }
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def file_name(graph: Graph, format: Format) -> str:
    """Return the name of a graph's file."""
    return f"{graph.name}{format.suffix}"


def _port(port: Port, model: GroupDNet, graphs: Sequence[Graph]) -> dict[str, Any]:
    """Return what a program must know of a tensor; a ``range`` is inclusive, but that of random numbers below 1."""
    values: dict[str, Any]
    if port.kind == "picture":
        values = {"values": "RGB, -1 is black and 1 full colour", "range": [-1, 1]}
    elif port.kind == "class ids":
        values = {"values": "class ids; others are not refused", "range": [0, model.config.num_classes - 1]}
    elif port.kind == "instance ids":
        values = {"values": "any number for each instance: where neighbours differ is an edge"}
    elif port.kind == "codes" and all(graph.name != "prior" for graph in graphs):
        values = {"values": "a code for each class", "distribution": "standard normal"}
    elif port.kind == "codes":
        values = {"values": "a code for each class, as the prior draws them"}
    elif port.kind == "log variance":
        values = {"values": "logarithm of the variance of each class's code"}
    else:
        values = {"values": "random numbers", "distribution": port.kind}
    if port.kind == "uniform":
        values["range"] = [0, 1]
    return {"name": port.name, "dtype": port.dtype, "shape": ["batch", *port.shape], **values}
