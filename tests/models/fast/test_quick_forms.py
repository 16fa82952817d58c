"""Quick forms of convolutions and of tables of modulation, each against the plain formula."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from groupdnet_hub.models.fast import folding
from groupdnet_hub.models.fast.convolutions import convolve_groups, convolve_to_few_channels
from groupdnet_hub.models.fast.label_windows import label_level
from groupdnet_hub.models.layers import GroupedConv2d
from tests.helpers.network_models import generator, maps


def convolution(in_channels: int, out_channels: int, kernel_size: int = 3, groups: int = 1) -> GroupedConv2d:
    made = GroupedConv2d(in_channels, out_channels, kernel_size, groups=groups)
    made.initialise(1.0, generator())
    torch.nn.init.normal_(made.bias, generator=generator(1))
    return made.eval().to(memory_format=torch.channels_last)


@pytest.mark.parametrize(("kernel_size", "groups"), [(3, 1), (3, 2), (1, 2)])
@torch.no_grad()
def test_channels_that_fill_no_register(
    kernel_size: int, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = convolution(40 * groups, 40 * groups, kernel_size, groups)
    x = torch.randn(2, 40, 64, 64, generator=generator(2))
    widths = []
    plain = F.conv2d
    monkeypatch.setattr(
        F, "conv2d", lambda x, w, *rest, **named: widths.append(len(w)) or plain(x, w, *rest, **named)
    )
    out = convolve_groups(layer, x, groups - 1, 1)
    assert widths == [48 if kernel_size == 3 else 40]
    rows = slice(40 * (groups - 1), None)
    expected = plain(x, layer.weight[rows], layer.bias[rows], padding=kernel_size // 2)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 24), (2, 2), (7, 8)])
@torch.no_grad()
def test_few_channels(size: tuple[int, int]) -> None:
    layer = convolution(20, 3)
    x = torch.randn(2, 20, *size, generator=generator(2))
    torch.testing.assert_close(convolve_to_few_channels(layer, x), layer(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
@torch.no_grad()
def test_rows_from_smaller_windows(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "TABLE_BYTES", 2**16)  # several parts of the channels
    level = label_level(maps("cells", 1, 6, (64, 64)), None, (64, 64), 6)
    assert level.windows is not None
    hidden = torch.randn(len(level.windows.symbols) + 1, 64 * groups, generator=generator())
    layer = convolution(64 * groups, 48 * groups, 3, groups)
    rows = {}
    for cost in (0, 10**9):  # look-ups for free, and none at all
        monkeypatch.setattr(folding, "LOOK_UP_COST", cost)
        (rows[cost],) = folding.folded_rows(level, hidden, [layer])
    torch.testing.assert_close(rows[0], rows[10**9], rtol=0, atol=1e-4)
    assert not torch.equal(rows[0], rows[10**9])
