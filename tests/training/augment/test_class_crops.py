"""Windows for the perceptual loss: every class is looked at, pictures stay aligned, a stream can be taken up again."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.training.augment.class_crops import ClassCrops, DiscriminatorCrops
from groupdnet_hub.training.shared_stream import RunSeed


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
    first, second = ClassCrops(16, 4, RunSeed(0))(label, (a, -a))
    assert first.shape == (4, 1, 16, 16)
    assert torch.equal(first, -second)
    rows = first // 24
    assert (rows.diff(dim=2) == 1).all()
    assert ((first % 24).diff(dim=3) == 1).all()


def test_a_small_class_is_seen_in_half_of_the_windows_and_more() -> None:
    label, crops = map_with_a_small_class(), ClassCrops(8, 4, RunSeed(0))
    shown = (label == 3).float()[:, None]
    seen = torch.cat([crops(label, (shown,))[0].flatten(1).amax(dim=1) for _ in range(50)])
    assert 0.42 < seen.mean() < 0.85  # by pixels alone it would be one window in eight


def test_small_classes_are_enlarged_and_large_ones_are_not() -> None:
    label, columns = map_with_a_small_class(), places() % 24
    label[:, :, :12] = 1
    label[:, 4:16, 2:6] = 2  # 12 pixels high
    crops, widths = ClassCrops(16, 4, RunSeed(0)), []
    for _ in range(40):
        (cut,) = crops(label, (columns,))
        assert cut.shape == (4, 1, 16, 16)
        row = cut[:, 0, 8]
        assert (row.diff(dim=1) >= 0).all()
        widths += [round(float(width)) for width in row.amax(dim=1) - row.amin(dim=1) + 1]
    # Class 3 at twice its size, class 2 at 4/3, the others as they are.
    assert set(widths) == {8, 12, 16}


def test_a_window_is_what_bilinear_interpolation_makes_of_the_cut() -> None:
    a = torch.rand(4, 3, 40, 24, generator=torch.Generator().manual_seed(0))
    label = map_with_a_small_class()
    crops, found = ClassCrops(16, 4, RunSeed(0)), set()
    for _ in range(10):
        for picture, window in zip(a, crops(label, (a,))[0], strict=True):
            side, distance = nearest_cut(picture, window)
            assert distance < 1e-5
            found.add(side)
    assert found == {8, 16}


def nearest_cut(picture: Tensor, window: Tensor) -> tuple[int, float]:
    """Side of the square of the picture that, enlarged, is most like the window, and the largest difference."""
    best = (0, 1.0)
    size = (window.shape[1], window.shape[2])
    for side in range(size[0] // 2, size[0] + 1):
        cuts = picture.unfold(1, side, 1).unfold(2, side, 1).flatten(1, 2).transpose(0, 1)
        enlarged = F.interpolate(cuts, size=size, mode="bilinear")
        distance = float((enlarged - window).abs().amax(dim=(1, 2, 3)).min())
        best = min(best, (side, distance), key=lambda pair: pair[1])
    return best


def test_a_window_keeps_its_precision_in_autocast() -> None:
    label, a = torch.zeros(4, 40, 24, dtype=torch.long), places()
    with torch.autocast("cpu", torch.bfloat16):
        (cut,) = ClassCrops(16, 4, RunSeed(0))(label, (a,))
    assert torch.equal(cut, ClassCrops(16, 4, RunSeed(0))(label, (a,))[0])


def test_windows_stay_inside_and_small_pictures_stay_whole() -> None:
    a = places()
    for side in (24, 100):
        (cut,) = ClassCrops(side, 4, RunSeed(1))(map_with_a_small_class(), (a,))
        assert cut.shape[2:] == (min(side, 40), 24)
        assert 0 <= cut.min() <= cut.max() <= a.max()
    (cut,) = ClassCrops(100, 4, RunSeed(1))(torch.zeros(4, 40, 24, dtype=torch.long), (a,))
    assert torch.equal(cut, a)


def test_gradients_flow() -> None:
    a = places().clone().requires_grad_()
    ClassCrops(8, 4, RunSeed(0))(map_with_a_small_class(), (a,))[0].sum().backward()
    assert a.grad is not None
    torch.testing.assert_close(a.grad.sum(), torch.tensor(4.0 * 64))


def test_the_stream_is_taken_up_again_and_shared_between_processes() -> None:
    label, a = map_with_a_small_class(), places()
    first = ClassCrops(8, 4, RunSeed(5))
    first(label, (a,))
    state = first.state_dict()
    expected = first(label, (a,))[0]
    second = ClassCrops(8, 4, RunSeed(6))
    second.load_state_dict(state)
    assert torch.equal(second(label, (a,))[0], expected)
    whole = ClassCrops(8, 4, RunSeed(5))(label, (a,))[0]
    halves = [ClassCrops(8, 4, RunSeed(5, rank, 2))(label[:2], (a[:2],))[0] for rank in range(2)]
    assert torch.equal(torch.cat(halves), whole)


def test_label_maps_are_cut_as_their_pictures() -> None:
    """A map that is its own picture: in windows each place has the class that most of the picture's place shows."""
    label, crops = map_with_a_small_class(), ClassCrops(16, 4, RunSeed(0))
    label[:, :, :12] = 1
    for _ in range(10):
        drawn = crops.draw(label)
        batch = {"label": label, "instance": 7 * label, "image": (label == 3).float()[:, None]}
        window = drawn.batch(batch)
        assert window["label"].dtype == torch.int64
        assert window["label"].shape == (4, 16, 16)
        assert torch.equal(window["instance"], 7 * window["label"])
        share = window["image"][:, 0]
        assert ((window["label"] == 3) == (share > 0.5))[share != 0.5].all()
        assert torch.equal(drawn.pictures([batch["image"]])[0], window["image"])


def test_the_discriminators_windows_are_others() -> None:
    label = torch.zeros(4, 40, 24, dtype=torch.long)
    one, other = ClassCrops(16, 4, RunSeed(0)).draw(label), DiscriminatorCrops(16, 4, RunSeed(0)).draw(label)
    assert not torch.equal(one.rows, other.rows)
