"""What is exported of a model: its encoder, its decoder and its prior, each a graph of tensors in and tensors out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from groupdnet_hub.data.labels import instance_edges, resize_label_map
from groupdnet_hub.models.groupdnet import GroupDNet
from groupdnet_hub.models.layers import GroupedConv2d
from groupdnet_hub.models.prior import CodePrior, EmpiricalPrior, PrincipalDirections

# What the values of a tensor are; ``standard normal`` and ``uniform`` (from 0 up to 1) are random numbers.
Kind = Literal["picture", "class ids", "instance ids", "codes", "standard normal", "uniform", "log variance"]
# Regions along a side of the label maps that graphs are recorded and checked with.
_REGIONS = 16


@dataclass(frozen=True)
class Port:
    """A tensor that goes into a graph or comes out of it.

    Attributes:
        name: its name in the file.
        shape: its shape behind the batch axis.
        kind: what its values are.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind

    @property
    def dtype(self) -> str:
        """Type of its values: ``int64`` for ids, ``float32`` for all others."""
        return "int64" if self.kind in ("class ids", "instance ids") else "float32"


@dataclass(frozen=True, eq=False)
class Graph:
    """One file of an export.

    Attributes:
        name: ``encoder``, ``decoder`` or ``prior``.
        module: what is recorded; it takes the inputs and returns the outputs in their order.
        inputs, outputs: the tensors of one call.
        expected: computes the outputs as a user of the Python package does, to compare with.
    """

    name: str
    module: nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    expected: Callable[..., tuple[Tensor, ...]]


class _Encoder(nn.Module):
    """Pictures and label maps to mean and log variance of the codes."""

    def __init__(self, model: GroupDNet) -> None:
        super().__init__()
        self.encoder, self.class_order = model.encoder, model.class_order

    def forward(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        posterior = self.encoder(image, self.class_order.label_in_slots(label))
        mean, logvar = map(self.class_order.codes_by_class, (posterior.mean, posterior.logvar))
        return mean, logvar


class _Decoder(nn.Module):
    """Codes and label maps, for some models instance maps too, to pictures."""

    def __init__(self, model: GroupDNet) -> None:
        super().__init__()
        self.decoder, self.class_order = model.decoder, model.class_order

    def forward(self, codes: Tensor, label: Tensor, instance: Tensor | None = None) -> Tensor:
        edges = None if instance is None else instance_edges(instance)
        slots = self.class_order.label_in_slots(label)
        picture: Tensor = self.decoder(self.class_order.codes_in_slots(codes), slots, edges)
        return picture


def graphs_of(model: GroupDNet) -> list[Graph]:
    """Return the graphs of a model in single precision: encoder, decoder, and a fitted prior.

    Codes of a model without a fitted prior are standard normal, for which no graph is needed.
    """
    config = model.config
    plain = copy.deepcopy(model).to("cpu", torch.float32).eval().requires_grad_(False)
    settled = _with_settled_weights(plain)
    image = Port("image", (3, *config.image_size), "picture")
    label = Port("label", config.image_size, "class ids")
    codes = Port("codes", config.code_shape, "codes")
    instance = [Port("instance", config.image_size, "instance ids")] if config.instance_edges else []

    def encoded(image: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        posterior = plain.encode(image, label)
        return posterior.mean, posterior.logvar

    mean, logvar = Port("mean", codes.shape, "codes"), Port("logvar", codes.shape, "log variance")
    inputs = codes, label, *instance
    return [
        Graph("encoder", _Encoder(settled), (image, label), (mean, logvar), encoded),
        Graph("decoder", _Decoder(settled), inputs, (image,), lambda *given: (plain.decode(*given),)),
        *_prior_graphs(plain.prior, codes),
    ]


def _prior_graphs(prior: CodePrior, codes: Port) -> list[Graph]:
    """Return the graph from random numbers to codes of a fitted prior; none for N(0, 1)."""
    noise = Port("noise", codes.shape, "standard normal")
    if isinstance(prior, EmpiricalPrior):
        inputs = Port("uniform", codes.shape[:1], "uniform"), noise
    elif isinstance(prior, PrincipalDirections):
        inputs = noise, Port("shared", (codes.shape[0], prior.rank), "standard normal")
    else:
        return []
    return [Graph("prior", prior, inputs, (codes,), lambda *numbers: (prior(*numbers),))]


def _with_settled_weights(model: GroupDNet) -> GroupDNet:
    """Return a copy whose weights are spectrally normalised once and for all, laid out as files have them."""
    settled = copy.deepcopy(model)
    for module in settled.modules():
        if isinstance(module, GroupedConv2d) and module.spectral_norm:
            module.weight.copy_(module.normalised_weight())
            module.spectral_norm = False
            del module.weight_u, module.weight_v
    return settled.to(memory_format=torch.contiguous_format)


def example_inputs(model: GroupDNet, graph: Graph, batch: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Return inputs of a graph: label maps of many small regions and one of a single class, noise for pictures.

    Args:
        model: the model, whose prior draws the codes.
        graph: one of its graphs.
        batch: number of pictures.
        seed: fixes them.
    """
    generator = torch.Generator().manual_seed(seed)

    def example(port: Port) -> Tensor:
        shape = (batch, *port.shape)
        if port.kind in ("picture", "uniform"):
            u = torch.rand(shape, generator=generator)
            return 2 * u - 1 if port.kind == "picture" else u
        if port.kind == "codes":
            return model.sample_codes(batch, generator=generator).to("cpu", torch.float32)
        if port.kind == "standard normal":
            return torch.randn(shape, generator=generator)
        ids = torch.randint(model.config.num_classes, (batch, _REGIONS, _REGIONS), generator=generator)
        ids[1:2] = model.config.num_classes - 1
        return resize_label_map(ids, model.config.image_size)

    return tuple(example(port) for port in graph.inputs)
