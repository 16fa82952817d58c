"""Scale and shift of features at every pixel, by a table of the label map's different windows (Eq. 5).

The work proceeds in strips of a few image rows, so that what is looked up stays in the processor's cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.models.fast.decode_window import Places
from groupdnet_hub.models.fast.joined_modulation import JoinedModulation

# Bytes of looked-up rows in one strip.
_STRIP_BYTES = 2**20


@dataclass(frozen=True)
class Modulation:
    """scale = 1 + gamma and shift = beta of one CG-Norm on one batch of label maps.

    Attributes:
        scale, shift: [U, C] with an ``index`` [B, H, W] into them, or dense [B, C, H, W] without.
    """

    scale: Tensor
    shift: Tensor
    index: Tensor | None

    def apply(self, x: Tensor, slope: float | None = None) -> Tensor:
        """Return x * scale + shift for x [B, C, H, W], and LeakyReLU of it if ``slope`` is given.

        Maps of batch 1 serve any number of x. Differentiable.
        """
        if self.index is not None:
            return scale_and_shift(x, self.scale, self.shift, self.index, slope)
        out = torch.addcmul(self.shift.to(x.dtype), x, self.scale.to(x.dtype))
        return out if slope is None else F.leaky_relu(out, slope, inplace=True)

    @property
    def nbytes(self) -> int:
        """Bytes of scales and shifts."""
        return 2 * self.scale.numel() * self.scale.element_size()

    def at(self, places: Places) -> Modulation:
        """Return the modulation of windows of the maps, of which there are as many as windows, or one."""
        if self.index is not None:
            return Modulation(self.scale, self.shift, places.of_maps(self.index))
        scale, shift = (
            places.of(rows.expand(len(places.pixels), -1, -1, -1)) for rows in (self.scale, self.shift)
        )
        return Modulation(scale, shift, None)


@dataclass(frozen=True)
class BatchStatistics:
    """What a batch norm normalised a batch by.

    Attributes:
        mean: [C].
        deviation: [C], one over the standard deviation (with the norm's eps in it).
    """

    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class FixedModulation:
    """A CG-Norm that normalises by given statistics; for training."""

    modulation: Modulation | JoinedModulation
    statistics: BatchStatistics

    @property
    def nbytes(self) -> int:
        """Bytes of scales and shifts."""
        return self.modulation.nbytes

    def apply(self, x: Tensor, slope: float | None = None) -> Tensor:
        """Normalise x, then do as :meth:`Modulation.apply`; differentiable."""
        modulation, deviation = self.modulation, self.statistics.deviation
        offset = -self.statistics.mean * deviation
        if (
            isinstance(modulation, JoinedModulation)
            or modulation.index is None
            or x.dtype in (torch.float16, torch.bfloat16)
        ):
            # In a table of low precision the offset would be rounded, as it is nowhere in a batch norm.
            normalised = torch.addcmul(offset[:, None, None], x.float(), deviation[:, None, None])
            return modulation.apply(normalised.to(x.dtype), slope)
        shift = torch.addcmul(modulation.shift, modulation.scale, offset)
        return Modulation(modulation.scale * deviation, shift, modulation.index).apply(x, slope)


@dataclass(frozen=True)
class FoldedModulation:
    """A CG-Norm in evaluation mode as one scale and one shift a pixel: nothing else is left to be normalised.

    The statistics of the batch norm before it and the spectral norm of the convolution behind it are folded in;
    that is exact, since LeakyReLU commutes with a positive factor.

    Attributes:
        tables: for each group of the convolution that follows, or each part of one's channels, scale and shift
            [U, 2, c].
        index: [B, H, W], row of each pixel; None where every pixel has a row of its own, in their order.
        size: (B, H, W) of the label maps.
        compiled: :meth:`apply_group` runs as one kernel of ``torch.compile``, over whole maps.
    """

    tables: tuple[Tensor, ...]
    index: Tensor | None
    size: tuple[int, int, int]
    compiled: bool = False

    def apply(self, x: Tensor, slope: float | None = None) -> Tensor:
        """Do as :meth:`Modulation.apply`, for all groups at once; differentiable with respect to x."""
        rows = torch.cat(self.tables, dim=2)
        if self.index is not None:
            return scale_and_shift(x, rows[:, 0], rows[:, 1], self.index, slope)
        return _scale_and_shift_all(x, rows.to(x.dtype), self.size, False, slope)

    def apply_group(
        self,
        pieces: Sequence[Tensor],
        group: int,
        *,
        upsample: bool = False,
        slope: float | None = None,
        overwrite: bool = False,
    ) -> Tensor:
        """Scale, shift and, with ``slope``, activate the features of one table; not differentiable.

        Args:
            pieces: [B, c, h, w] each, the table's channels in order; B is the maps', or anything for one map.
            group: number of the table.
            upsample: the pieces have half the maps' height and width (nearest).
            slope: slope of LeakyReLU below 0; None for no activation.
            overwrite: the result may take the memory of the only piece, which is not upsampled.

        Returns:
            [B, channels of the table, H, W], channels_last.
        """
        table = self.tables[group]
        if self.compiled:
            x = pieces[0] if len(pieces) == 1 else torch.cat(tuple(pieces), dim=1)
            looked_up, all_rows = _compiled_kernels()
            if self.index is not None:
                return looked_up(x, table, self.index, self.size, upsample, slope)
            return all_rows(x, table, self.size, upsample, slope)
        maps, H, W = self.size
        batch, step = pieces[0].shape[0], 2 if upsample else 1
        sources = [piece.permute(0, 2, 3, 1) for piece in pieces]
        if overwrite and sources[0].is_contiguous():
            out = sources[0]
        else:
            out = sources[0].new_empty(batch, H, W, table.shape[2])
        columns = torch.arange(W, device=out.device) // 2 if upsample else None
        for number in range(maps):
            of_map = slice(None) if maps == 1 else slice(number, number + 1)
            for top, bottom in _strips(H, W * table[0].numel() * table.element_size(), step, out.device):
                rows = self._rows(table, number, top, bottom)
                scale, shift = rows.unflatten(0, ((bottom - top) // step, step, W)).unbind(3)
                strip = out[of_map, top:bottom]
                cells, start = strip.unflatten(1, (-1, step)), 0
                for source in sources:
                    own = slice(start, start + source.shape[3])
                    values = source[of_map, top // step : bottom // step]
                    # Doubled in width first: PyTorch is slow where neighbours read the same value.
                    values = values if columns is None else values.index_select(2, columns)
                    torch.addcmul(
                        shift[..., own], values.unflatten(1, (-1, 1)), scale[..., own], out=cells[..., own]
                    )
                    start = own.stop
                if slope is not None:
                    F.leaky_relu(strip, slope, inplace=True)
        return out.permute(0, 3, 1, 2)

    def _rows(self, table: Tensor, number: int, top: int, bottom: int) -> Tensor:
        """Return scale and shift [pixels, 2, C] of a strip of one map."""
        _, H, W = self.size
        if self.index is None:
            return table[(number * H + top) * W : (number * H + bottom) * W]
        return table.index_select(0, self.index[number, top:bottom].reshape(-1))

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each table."""
        return tuple(table.shape[2] for table in self.tables)

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return sum(table.numel() * table.element_size() for table in self.tables)


AnyModulation = Modulation | JoinedModulation | FixedModulation | FoldedModulation


def _scale_and_shift_all(
    x: Tensor, rows: Tensor, size: tuple[int, int, int], upsample: bool, slope: float | None
) -> Tensor:
    """Return scale and shift x [B, C, H, W], or half of it with ``upsample``, by a row [2, C] for every pixel."""
    pixels = x.permute(0, 2, 3, 1)
    if upsample:
        pixels = pixels.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    rows = rows.unflatten(0, size)
    out = torch.addcmul(rows[..., 1, :], pixels, rows[..., 0, :])
    out = out if slope is None else F.leaky_relu(out, slope, inplace=True)
    return out.permute(0, 3, 1, 2)


def _scale_and_shift_looked_up(
    x: Tensor, table: Tensor, index: Tensor, size: tuple[int, int, int], upsample: bool, slope: float | None
) -> Tensor:
    """Do as :func:`_scale_and_shift_all`, by rows of a table."""
    return _scale_and_shift_all(x, table[index.flatten()], size, upsample, slope)


@functools.cache
def _compiled_kernels() -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    # Two functions, since torch.compile keeps few variants of each.
    kernels = (_scale_and_shift_looked_up, _scale_and_shift_all)
    looked_up, all_rows = (torch.compile(kernel, dynamic=True) for kernel in kernels)
    return looked_up, all_rows


def _strips(height: int, row_bytes: int, step: int, device: torch.device) -> Iterator[tuple[int, int]]:
    """Yield first and last row of each strip; all rows at once where there is no cache to fit."""
    rows = height if device.type != "cpu" else max(step, _STRIP_BYTES // row_bytes // step * step)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


class _ScaleAndShift(torch.autograd.Function):
    """x * scale[index] + shift[index] and its activation, keeping no full-size scale and shift for backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, index: Tensor, slope: float | None) -> Tensor:
        out = torch.empty_like(x, memory_format=torch.channels_last)
        index = index.expand(x.shape[0], -1, -1).reshape(-1)
        for pixels, of_x, of_out in _pixel_strips(table, index, x, out):
            rows = table.index_select(0, index[pixels])
            torch.addcmul(rows[:, 1], of_x, rows[:, 0], out=of_out)
            if slope is not None:
                F.leaky_relu(of_out, slope, inplace=True)
        ctx.slope = slope
        ctx.save_for_backward(x, table, index, out if slope is not None else x)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, table, index, out = ctx.saved_tensors
        want_x, want_table = ctx.needs_input_grad[:2]
        grad_x = torch.empty_like(x, memory_format=torch.channels_last) if want_x else None
        # Sums over thousands of pixels: in single precision whatever the precision of the features is.
        total = torch.zeros(table.shape, dtype=torch.float32, device=x.device) if want_table else None
        tensors = [x, out, grads[0]] + ([grad_x] if grad_x is not None else [])
        for pixels, of_x, of_out, grad, *of_grad_x in _pixel_strips(table, index, *tensors):
            if ctx.slope is not None:  # the activation keeps the sign, so its output tells which side it was
                grad = torch.ops.aten.leaky_relu_backward(grad, of_out, ctx.slope, True)
            if of_grad_x:
                torch.mul(grad, table[:, 0].index_select(0, index[pixels]), out=of_grad_x[0])
            if total is not None:
                values = total.new_empty(len(grad), *total.shape[1:])
                torch.mul(grad, of_x, out=values[:, 0])
                values[:, 1] = grad
                total.index_add_(0, index[pixels], values)
        return grad_x, None if total is None else total.to(table.dtype), None, None


def _pixel_strips(table: Tensor, index: Tensor, *features: Tensor) -> Iterator[tuple[Any, ...]]:
    """Yield (slice of pixels, the features there [n, C] ...) of each strip; features are [B, C, H, W]."""
    flat = []
    for tensor in features:
        pixels = tensor.permute(0, 2, 3, 1)
        flat.append((pixels if pixels.is_contiguous() else pixels.contiguous()).view(-1, tensor.shape[1]))
    row_bytes = table[0].numel() * table.element_size()
    for first, last in _strips(len(index), row_bytes, 1, table.device):
        yield (slice(first, last), *(tensor[first:last] for tensor in flat))


def scale_and_shift(
    x: Tensor, scale: Tensor, shift: Tensor, index: Tensor, slope: float | None = None
) -> Tensor:
    """Return ``x * scale[index] + shift[index]`` per pixel, and LeakyReLU of it if ``slope`` is given.

    Args:
        x: [B, C, H, W]; fastest when channels_last.
        scale: [U, C], one row for each different window.
        shift: [U, C], likewise.
        index: [B, H, W], or [1, H, W] where all of the batch shares one map.
        slope: slope of LeakyReLU below 0; None for no activation.
    """
    table = torch.stack((scale, shift), dim=1).to(x.dtype)
    return _ScaleAndShift.apply(x, table, index, slope)
