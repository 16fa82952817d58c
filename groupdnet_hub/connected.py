"""The connected pieces of a mask, in numpy alone."""

from __future__ import annotations

import numpy as np


def connected_pieces(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the pieces of a mask; pixels that share a side belong together.

    Args:
        mask: bool [H, W].

    Returns:
        int64 [H, W], 0 outside the mask, and the number of pieces. They are 1, 2, ... in the order in which reading
        row by row meets them, as ``scipy.ndimage.label`` numbers them.
    """
    height, width = mask.shape
    # A piece is made of runs: pixels side by side in a row. Each run starts and stops at one edge.
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    row, start = np.nonzero(edges == 1)
    stop = np.nonzero(edges == -1)[1]
    # Runs are sorted by row, then column, so those above that a run overlaps are neighbours in the list.
    above = (row - 1) * (width + 1)
    first = np.searchsorted(row * (width + 1) + stop, above + start, side="right")
    last = np.searchsorted(row * (width + 1) + start, above + stop, side="left")
    count = np.maximum(last - first, 0)
    below = np.repeat(np.arange(len(row)), count)
    within = np.arange(len(below)) - np.repeat(np.cumsum(count) - count, count)
    root = _roots(len(row), below, np.repeat(first, count) + within)
    roots, piece = np.unique(root, return_inverse=True)
    pieces = np.zeros((height, width), dtype=np.int64)
    pieces[mask] = np.repeat(piece + 1, stop - start)
    return pieces, len(roots)


def _roots(count: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each of ``count`` nodes the lowest one that it is connected with by the pairs ``one[i]``, ``other[i]``."""
    root = np.arange(count)
    while (root[one] != root[other]).any():
        lower = np.minimum(root[one], root[other])
        np.minimum.at(root, root[one], lower)
        np.minimum.at(root, root[other], lower)
        while (root[root] != root).any():
            root = root[root]
    return root
