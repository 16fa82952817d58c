"""The different label windows of a map: gamma and beta of CG-Norm are computed for these only.

gamma and beta at a pixel come from two 3x3 convolutions on the label map, so they depend on the labels of the
5x5 window around the pixel and on nothing else. Real maps hold few different windows. Here they are found
exactly (no hashing): every 3x3 window of labels gets a number, and a 5x5 window of labels is a 3x3 window of
these numbers. A place outside the map counts as a label of its own, for which the hidden layer is zero, because
the second convolution pads the hidden layer with zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.models.blocks import label_input

# Where more of the windows than this differ, convolving the whole map is cheaper.
DENSE_FRACTION = 0.3
# Maps of fewer pixels (the whole batch) are not worth a search.
DENSE_PIXELS = 1024


@dataclass(frozen=True)
class LabelWindows:
    """The different label windows of a batch of maps at one resolution.

    Attributes:
        symbols: [U3, 9] label symbols of each different 3x3 window, row by row; the last symbol is "outside".
        hidden: [U5, 9] numbers of the nine 3x3 windows in each different 5x5 window; U3 is "outside".
        index: [B, H, W] number of the 5x5 window around each pixel.
    """

    symbols: Tensor
    hidden: Tensor
    index: Tensor


@dataclass(frozen=True)
class LabelLevel:
    """A batch of label maps at the resolution of one feature map.

    Attributes:
        symbols: int64 [B, H, W]: class id, plus the number of classes where the instance edge map is 1.
        num_classes: C.
        instance_edges: whether symbols carry the edge map.
        windows: the different windows, or None where it is cheaper to convolve the maps.
    """

    symbols: Tensor
    num_classes: int
    instance_edges: bool
    windows: LabelWindows | None

    @property
    def num_symbols(self) -> int:
        """Number of symbols inside the map."""
        return self.num_classes * (2 if self.instance_edges else 1)

    @property
    def size(self) -> tuple[int, int, int]:
        """(B, H, W) of the maps."""
        B, H, W = self.symbols.shape
        return B, H, W

    def label_input(self, class_slots: int, dtype: torch.dtype) -> Tensor:
        """Return the maps as CG-Norm's first convolution reads them, [B, label channels, H, W]."""
        classes = self.symbols % self.num_classes
        edges = (self.symbols >= self.num_classes)[:, None] if self.instance_edges else None
        return label_input(classes, edges, class_slots, dtype)


def label_level(
    label: Tensor, edges: Tensor | None, size: tuple[int, int], num_classes: int, *, lookup: bool = True
) -> LabelLevel:
    """Return label maps int64 [B, H, W] (and instance edges [B, 1, H, W]) resized (nearest) to ``size``.

    Args:
        label: int64 [B, H, W].
        edges: [B, 1, H, W], or None.
        size: (height, width) of the level.
        num_classes: number of classes.
        lookup: search for the different windows; without it the level never has any.
    """
    symbols = label if edges is None else label + num_classes * edges[:, 0].to(label.dtype)
    if tuple(symbols.shape[-2:]) != tuple(size):
        # A feature map is a whole fraction of its picture.
        symbols = symbols[:, :: symbols.shape[1] // size[0], :: symbols.shape[2] // size[1]]
    level = LabelLevel(symbols, num_classes, edges is not None, None)
    if lookup and symbols.numel() >= DENSE_PIXELS:
        windows = find_windows(symbols, level.num_symbols)
        if windows.hidden.shape[0] <= DENSE_FRACTION * symbols.numel():
            return LabelLevel(symbols, num_classes, edges is not None, windows)
    return level


def searches_windows(device: torch.device) -> bool:
    """Return whether windows are searched for by default: on a CPU alone, since others have to be waited for."""
    return device.type == "cpu"


def find_windows(symbols: Tensor, num_symbols: int) -> LabelWindows:
    """Return the different 5x5 windows of ``symbols`` int64 [B, H, W] with values below ``num_symbols``."""
    inner, inner_index = _different_windows(symbols, num_symbols)
    hidden, index = _different_windows(inner_index, inner.shape[0])
    return LabelWindows(inner, hidden, index)


def _different_windows(values: Tensor, outside: int) -> tuple[Tensor, Tensor]:
    """Return the different 3x3 windows of ``values`` [B, H, W], padded with ``outside``, one above the largest.

    Returns:
        (windows [U, 9], number of the window around each place [B, H, W]).
    """
    base = outside + 1
    padded = F.pad(values, (1, 1, 1, 1), value=outside)
    rows = (padded[:, :, :-2] * base + padded[:, :, 1:-1]) * base + padded[:, :, 2:]
    row_values: Tensor | None = None
    row_base = base**3
    if row_base**3 >= 2**63:  # nine values do not fit one integer: number the rows of three first
        row_values, rows = torch.unique(rows, return_inverse=True)
        row_base = row_values.numel()
    keys = (rows[:, :-2] * row_base + rows[:, 1:-1]) * row_base + rows[:, 2:]
    keys, index = torch.unique(keys, return_inverse=True)
    three_rows = torch.stack((keys // row_base**2, keys // row_base % row_base, keys % row_base), dim=1)
    if row_values is not None:
        three_rows = row_values[three_rows]
    windows = torch.stack((three_rows // base**2, three_rows // base % base, three_rows % base), dim=2)
    return windows.flatten(1), index


def window_hidden(level: LabelLevel, weight: Tensor, bias: Tensor | None, label_groups: int) -> Tensor:
    """Return the hidden layer (3x3 convolution of the label input, ReLU) at the centre of each 3x3 window.

    Args:
        level: with ``windows``.
        weight: [hidden, label channels / label_groups, 3, 3] of the first convolution.
        bias: [hidden], or None.
        label_groups: groups of that convolution.

    Returns:
        [U3 + 1, hidden]; the last row is that of "outside", 0.
    """
    windows = level.windows
    if windows is None:
        raise ValueError("this label level is convolved as a whole: it has no windows to look up")
    table = _symbol_table(weight, level, label_groups)
    places = torch.arange(9, device=table.device) * table.shape[1]
    hidden = F.embedding_bag(windows.symbols + places, table.flatten(0, 1), mode="sum")
    hidden = F.relu(hidden if bias is None else hidden + bias)
    return torch.cat((hidden, hidden.new_zeros(1, hidden.shape[1])))


def window_patches(level: LabelLevel, hidden: Tensor, out_groups: int) -> Tensor:
    """Return the hidden layer around the centre of each different 5x5 window.

    Args:
        level: with ``windows``.
        hidden: [U3 + 1, hidden] of :func:`window_hidden`.
        out_groups: groups of the convolution that follows.

    Returns:
        [out_groups, U5, 9 * hidden / out_groups], ready for :func:`rows_from_patches`.
    """
    windows = level.windows
    if windows is None:
        raise ValueError("this label level is convolved as a whole: it has no windows to look up")
    count, width = windows.hidden.shape[0], hidden.shape[1] // out_groups
    patches = F.embedding(windows.hidden, hidden).view(count, 9, out_groups, width)
    return patches.permute(2, 0, 1, 3).reshape(out_groups, count, 9 * width)


def rows_from_patches(patches: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the second 3x3 convolution at the centre of each different window: a matrix product for each group.

    Args:
        patches: [groups, U5, 9 * hidden / groups] of :func:`window_patches`.
        weight: [channels, hidden / groups, 3, 3].
        bias: [channels], or None.

    Returns:
        [U5, channels].
    """
    groups, count, _ = patches.shape
    matrix = weight.view(groups, weight.shape[0] // groups, -1, 9).permute(0, 3, 2, 1).flatten(1, 2)
    rows = torch.bmm(patches, matrix).transpose(0, 1).reshape(count, -1)
    return rows if bias is None else rows + bias


def _symbol_table(weight: Tensor, level: LabelLevel, groups: int) -> Tensor:
    """Return what each symbol at each of nine places adds to the hidden layer, [9, symbols + 1, hidden]."""
    out_channels, width = weight.shape[:2]
    grouped = weight.view(groups, out_channels // groups, width, 9)
    # Block-diagonal: a channel of the label input reaches only the hidden channels of its own group.
    dense = torch.diag_embed(grouped.permute(2, 3, 1, 0), dim1=0, dim2=3)
    dense = dense.reshape(groups * width, 9, out_channels).transpose(0, 1)
    if level.instance_edges:
        classes, edge = dense[:, 0::2][:, : level.num_classes], dense[:, 1::2].sum(dim=1, keepdim=True)
        dense = torch.cat((classes, classes + edge), dim=1)
    else:
        dense = dense[:, : level.num_classes]
    return F.pad(dense, (0, 0, 0, 1))
