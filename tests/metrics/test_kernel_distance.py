"""The kernel distance against sums written out, and on sets that are known to be alike or not."""

from __future__ import annotations

import pytest
import torch

from groupdnet_hub.metrics import kernel_distance


def normal(*shape: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) + shift


def test_it_is_the_mean_over_pairs_of_different_maps() -> None:
    x, y = normal(4, 2, 3, seed=0, shift=0.5), normal(4, 3, seed=1)

    def kernel(one: torch.Tensor, other: torch.Tensor) -> float:
        return float((one @ other / 3 + 1) ** 3)

    total = 0.0
    for i in range(4):
        for j in range(4):
            if i != j:
                total += sum(kernel(a, b) for a in x[i] for b in x[j]) / 4 + kernel(y[i], y[j])
                total -= sum(kernel(a, y[j]) for a in x[i]) / 2 + sum(kernel(a, y[i]) for a in x[j]) / 2
    found = kernel_distance(x, y)
    assert found.value == pytest.approx(total / 12)
    assert (found.images, found.samples) == (4, 2)


def test_photos_against_themselves_have_none() -> None:
    photos = normal(20, 8, seed=0)
    found = kernel_distance(photos[:, None], photos)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.standard_error == pytest.approx(0, abs=1e-12)


def test_it_has_no_bias_to_few_pictures_and_an_error_that_covers_it() -> None:
    """Twenty pairs of sets of the same distribution: around 0, within the error; a moved set is outside of it."""
    alike = [
        kernel_distance(normal(30, 1, 16, seed=2 * i), normal(30, 16, seed=2 * i + 1)) for i in range(20)
    ]
    values = torch.tensor([one.value for one in alike])
    assert abs(float(values.mean())) < 2 * float(values.std()) / 20**0.5
    assert sum(abs(one.value) < 2 * one.standard_error for one in alike) >= 18
    moved = kernel_distance(normal(30, 2, 16, seed=0, shift=0.5), normal(30, 16, seed=1))
    assert moved.value > 4 * moved.standard_error


def test_a_picture_like_its_own_photo_does_not_count_as_two_like_sets() -> None:
    """What a map's picture and photo share is left out, so that it lowers no distance and raises none."""
    shared = 0.8 * normal(40, 16, seed=0)
    pictures = shared[:, None] + 0.6 * normal(40, 3, 16, seed=1)
    photos = shared + 0.6 * normal(40, 16, seed=2)
    found = kernel_distance(pictures, photos)
    assert abs(found.value) < 2 * found.standard_error


@pytest.mark.parametrize(
    ("samples", "photos", "message"),
    [
        ((3, 8), (3, 8), r"must be \[N, K, D\]"),
        ((3, 1, 8), (3, 7), r"must be \[N, K, D\]"),
        ((1, 1, 8), (1, 8), "give at least 2"),
    ],
)
def test_other_shapes_are_refused(samples: tuple[int, ...], photos: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernel_distance(torch.ones(samples), torch.ones(photos))


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        kernel_distance(torch.full((3, 1, 4), float("nan")), torch.ones(3, 4))
