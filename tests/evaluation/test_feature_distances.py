"""The Frechet distance and KID of a run's shards are those of all its pictures; few pictures are told."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from groupdnet_hub.evaluation import feature_distances
from groupdnet_hub.evaluation.feature_distances import FeatureDistances, small_sample_note
from groupdnet_hub.metrics import FeatureStatistics, frechet_distance, kernel_distance


class Named(nn.Module):
    distance_name, kernel_name = "Frechet distance (x)", "KID (x)"


@pytest.fixture
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    photos, pictures = torch.randn(2, 30, 8, generator=generator)
    return photos, pictures + 0.5


def measured(indices: list[int], shards: list[list[int]], pairs: tuple[torch.Tensor, torch.Tensor]) -> dict:
    total = FeatureDistances(indices)
    for shard in shards:
        one = FeatureDistances(indices)
        for start in range(0, len(shard), 4):
            batch = shard[start : start + 4]
            one.update(batch, *(features[batch] for features in pairs))
        total.merge(one)
    return total.result(Named())


def test_shards_give_what_all_pictures_give(pairs: tuple[torch.Tensor, torch.Tensor]) -> None:
    photos, pictures = pairs
    found = measured(list(range(30)), [list(range(20, 30)), list(range(20))], pairs)
    statistics = FeatureStatistics(), FeatureStatistics()
    for one, features in zip(statistics, pairs, strict=True):
        one.update(features)
    assert found["value"] == pytest.approx(frechet_distance(*statistics), rel=1e-9)
    assert found["name"] == "Frechet distance (x)"
    assert found["images"] == 30
    kid = kernel_distance(pictures[:, None], photos)
    assert found["kid"] == {
        "name": "KID (x)",
        "value": kid.value,
        "standard_error": kid.standard_error,
        "images": 30,
        "samples": 1,
    }


def test_kid_takes_some_of_many_pictures(
    pairs: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_distances, "_KID_PICTURES", 10)
    photos, pictures = pairs
    found = measured(list(range(30)), [list(range(15)), list(range(15, 30))], pairs)
    kid = kernel_distance(pictures[::3, None], photos[::3])
    assert (found["images"], found["kid"]["images"]) == (30, 10)
    assert found["kid"]["value"] == kid.value


def test_few_pictures_are_told() -> None:
    note = small_sample_note(1594)
    assert note is not None
    assert "n = 1,594 pictures, fewer than 2,048" in note
    assert "KID" in note
    assert small_sample_note(2048) is None
