"""Small networks with weights that show, and label maps of several kinds."""

from __future__ import annotations

import torch
from torch import Tensor

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet
from groupdnet_hub.data.labels import instance_edges
from groupdnet_hub.models.layers import GroupedConv2d


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_model(
    count: int = 8,
    size: tuple[int, int] = (64, 64),
    width: int = 4,
    *,
    config: GroupDNetConfig | None = None,
    **fields: object,
) -> GroupDNet:
    """A model whose weights are large enough for everything to show in its pictures."""
    if config is None:
        labels = LabelSet.from_names([f"class {i}" for i in range(count)])
        config = GroupDNetConfig.for_labels(labels, size, width, **fields)
    model = GroupDNet(config).eval()
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator(1)))
        elif name.endswith(("bias", "running_mean")):
            value.copy_(0.1 * torch.randn(value.shape, generator=generator(2)))
        elif name.endswith("weight") and value.ndim == 4:
            value.copy_(torch.randn(value.shape, generator=generator(3)) / value[0].numel() ** 0.5)
    for module in model.modules():
        if isinstance(module, GroupedConv2d) and module.spectral_norm:
            for _ in range(10):
                module.iterate()
    return model


def plain_decode(model: GroupDNet, codes: Tensor, label: Tensor, instance: Tensor | None = None) -> Tensor:
    """The picture by the plain network, as the paper has it: nothing is prepared, looked up, folded or cached."""
    order = model.class_order
    edges = None if instance is None else instance_edges(instance)
    return model.decoder(order.codes_in_slots(codes), order.label_in_slots(label), edges)


def maps(kind: str, batch: int, count: int, size: tuple[int, int]) -> Tensor:
    """Label maps of several kinds, int64 [B, H, W]."""
    H, W = size
    if kind == "one class":
        return torch.full((batch, H, W), count - 1)
    if kind == "noise":
        return torch.randint(0, count, (batch, H, W), generator=generator(5))
    if kind == "one pixel":
        label = torch.zeros(batch, H, W, dtype=torch.int64)
        label[:, 0, 0] = label[:, H // 2, W - 1] = count - 1
        return label
    cells = torch.randint(0, count, (batch, H // 8, W // 8), generator=generator(6))
    return cells.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
