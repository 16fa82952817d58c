"""The pieces of a mask, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest

from groupdnet_hub.connected import connected_pieces


@pytest.mark.parametrize("share", [0.0, 0.05, 0.4, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (37, 53)])
def test_pieces_are_numbered_as_by_scipy(share: float, size: tuple[int, int]) -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="compares with scipy")
    for seed in range(5):
        mask = np.random.default_rng(seed).random(size) < share
        expected, number = ndimage.label(mask)
        pieces, count = connected_pieces(mask)
        assert count == number
        assert np.array_equal(pieces, expected)


def test_a_spiral_is_one_piece_and_corners_do_not_connect() -> None:
    spiral = np.zeros((9, 9), bool)
    for inset in range(0, 4, 2):
        spiral[inset, inset : 9 - inset] = spiral[inset : 9 - inset, 8 - inset] = True
        spiral[8 - inset, inset : 9 - inset] = spiral[inset + 2 : 9 - inset, inset] = True
        spiral[inset + 2, inset : inset + 3] = True
    assert connected_pieces(spiral)[1] == 1
    assert connected_pieces(np.eye(5, dtype=bool))[1] == 5
