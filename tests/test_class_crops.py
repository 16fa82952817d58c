"""Windows for the perceptual loss: every class is looked at, pictures stay aligned, a stream can be taken up again."""

from __future__ import annotations

import torch
from class_crops import ClassCrops
from torch import Tensor


def places(B: int = 4, H: int = 40, W: int = 24) -> Tensor:
    """Pictures of one channel that holds each pixel's position."""
    return torch.arange(H * W, dtype=torch.float32).view(1, 1, H, W).expand(B, -1, -1, -1)


def map_with_a_small_class() -> Tensor:
    label = torch.zeros(4, 40, 24, dtype=torch.long)
    label[:, 30:32, 20:22] = 3
    return label


def test_pictures_are_cut_alike() -> None:
    a = places()
    label = torch.zeros(4, 40, 24, dtype=torch.long)
    first, second = ClassCrops(16, 0, 0, 1)(label, (a, -a))
    assert first.shape == (4, 1, 16, 16)
    assert torch.equal(first, -second)
    rows = first // 24
    assert (rows.diff(dim=2) == 1).all()
    assert ((first % 24).diff(dim=3) == 1).all()


def test_a_small_class_is_seen_in_half_of_the_windows_and_more() -> None:
    label, crops = map_with_a_small_class(), ClassCrops(8, 0, 0, 1)
    shown = (label == 3).float()[:, None]
    seen = torch.cat([crops(label, (shown,))[0].flatten(1).amax(dim=1) for _ in range(50)])
    assert 0.42 < seen.mean() < 0.85  # by pixels alone it would be one window in eight


def test_small_classes_are_enlarged_and_large_ones_are_not() -> None:
    label, columns = map_with_a_small_class(), places() % 24
    label[:, :, :12] = 1
    label[:, 4:16, 2:6] = 2  # 12 pixels high
    crops, widths = ClassCrops(16, 0, 0, 1), []
    for _ in range(40):
        (cut,) = crops(label, (columns,))
        assert cut.shape == (4, 1, 16, 16)
        row = cut[:, 0, 8]
        assert (row.diff(dim=1) >= 0).all()
        widths += [round(float(width)) for width in row.amax(dim=1) - row.amin(dim=1) + 1]
    # Class 3 at twice its size, class 2 at 4/3, the others as they are.
    assert set(widths) == {8, 12, 16}


def test_windows_stay_inside_and_small_pictures_stay_whole() -> None:
    a = places()
    for side in (24, 100):
        (cut,) = ClassCrops(side, 1, 0, 1)(map_with_a_small_class(), (a,))
        assert cut.shape[2:] == (min(side, 40), 24)
        assert 0 <= cut.min() <= cut.max() <= a.max()
    (cut,) = ClassCrops(100, 1, 0, 1)(torch.zeros(4, 40, 24, dtype=torch.long), (a,))
    assert torch.equal(cut, a)


def test_gradients_flow() -> None:
    a = places().clone().requires_grad_()
    ClassCrops(8, 0, 0, 1)(map_with_a_small_class(), (a,))[0].sum().backward()
    assert a.grad is not None
    torch.testing.assert_close(a.grad.sum(), torch.tensor(4.0 * 64))


def test_the_stream_is_taken_up_again_and_shared_between_processes() -> None:
    label, a = map_with_a_small_class(), places()
    first = ClassCrops(8, 5, 0, 1)
    first(label, (a,))
    state = first.state_dict()
    expected = first(label, (a,))[0]
    second = ClassCrops(8, 6, 0, 1)
    second.load_state_dict(state)
    assert torch.equal(second(label, (a,))[0], expected)
    whole = ClassCrops(8, 5, 0, 1)(label, (a,))[0]
    halves = [ClassCrops(8, 5, rank, 2)(label[:2], (a[:2],))[0] for rank in range(2)]
    assert torch.equal(torch.cat(halves), whole)
