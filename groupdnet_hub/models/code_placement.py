"""Codes in their class's box of the label map, instead of over the whole frame (``code_placement="box"``).

The encoder sees each class cut to its bounding box and enlarged, so that a place in a code is a place in that box. The
paper's decoder lays every code over the whole frame: a print on a shirt is then encoded at one place and drawn at
another. Here each code is stretched over its class's box again. Moving the box moves the print with it.

The grid that codes are pasted into is finer than the decoder's first feature map, since a box may be small. Each of its
cells gets the mean, over the cell, of the code bilinearly interpolated in the box and zero around it; so a box that
moves by part of a cell moves its content by that much. This is linear in the codes and separable: two small matrix
products for each class, whose matrices depend on the label map alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.models.encoder import occupied_range


@dataclass(frozen=True, eq=False)
class CodePlacement:
    """Where the codes of each class lie in a batch of label maps.

    Attributes:
        rows: [B, C, gh, h], how much of each row of the code is in each row of the grid; zero for an absent class.
        columns: [B, C, gw, w], the same for columns.
    """

    rows: Tensor
    columns: Tensor

    def paste(self, codes: Tensor) -> Tensor:
        """Lay codes [B, C, z, h, w] into the grid [B, C, z, gh, gw]; matrices of batch 1 serve any number of codes."""
        return self.rows[:, :, None] @ codes @ self.columns[:, :, None].transpose(-2, -1)

    @property
    def nbytes(self) -> int:
        """Bytes of the matrices."""
        return sum(matrix.numel() * matrix.element_size() for matrix in (self.rows, self.columns))


@torch.no_grad()
def code_placement(
    label: Tensor, num_classes: int, grid: tuple[int, int], code_size: tuple[int, int], dtype: torch.dtype
) -> CodePlacement:
    """Return where codes lie: in their classes' bounding boxes.

    Args:
        label: int64 [B, H, W].
        num_classes: number of classes.
        grid: (gh, gw), which divide H and W.
        code_size: (h, w) of the codes.
        dtype: of the matrices.
    """
    classes = torch.arange(num_classes, device=label.device)[:, None, None]
    masks = label[:, None] == classes
    rows, columns = (
        _fractions(masks.any(dim=dim), cells, places).to(dtype)
        for dim, cells, places in zip((3, 2), grid, code_size, strict=True)
    )
    return CodePlacement(rows, columns)


def _fractions(occupied: Tensor, cells: int, places: int) -> Tensor:
    """Return the matrix of one axis.

    Args:
        occupied: bool [..., N], which pixels of the axis show the class.
        cells: of the grid; they divide N.
        places: of the code.

    Returns:
        float32 [..., cells, places]. A row adds up to the fraction of the cell that the box covers.
    """
    step = occupied.shape[-1] // cells
    first, extent = (value.float() for value in occupied_range(occupied))
    scale = places / extent.clamp(min=1)
    edges = step * torch.arange(cells + 1, device=occupied.device, dtype=torch.float32)
    # Edges of cells in units of the code, whose first place has its centre at 0; what is outside the box has no width.
    ends = torch.minimum((edges - first).clamp(min=0), extent) * scale - 0.5
    # Beyond its first and last centre the code stays what it is there, as if it had one more place at either end.
    centres = torch.arange(-1, places + 1, device=occupied.device, dtype=torch.float32)
    integrals = _tent_integral(ends[..., None] - centres)
    means = integrals.diff(dim=-2) / (step * scale[..., None])
    inner = means[..., 1:-1]
    return inner + F.pad(means[..., :1], (0, places - 1)) + F.pad(means[..., -1:], (places - 1, 0))


def _tent_integral(x: Tensor) -> Tensor:
    """Return the integral from -inf to x of the tent max(0, 1 - |x|), the weight of bilinear interpolation."""
    x = x.clamp(-1, 1)
    return 0.5 + x - 0.5 * x * x.abs()
