"""The Frechet distance against its library, and the networks that give it features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from groupdnet_hub.io import downloads
from groupdnet_hub.metrics import (
    FeatureStatistics,
    InceptionFeatures,
    TrunkFeatures,
    eight_bit,
    frechet_distance,
)
from tests.helpers.evaluate_runs import write_inception
from tests.helpers.shared_data import shared_folder

fidelity = pytest.importorskip("torch_fidelity.metric_fid")


def features(count: int, length: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    """Correlated features with a large mean, as a network's are."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(length, length, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    noise = torch.randn(count, length, generator=generator, dtype=torch.float64)
    return noise @ mixing / length**0.5 * (1 + shift) + 5 + shift


def statistics(values: torch.Tensor, batch: int = 7) -> FeatureStatistics:
    found = FeatureStatistics()
    for part in values.split(batch):
        found.update(part)
    return found


@pytest.mark.parametrize(("count", "length"), [(300, 24), (20, 48)])
def test_it_is_the_librarys_value(count: int, length: int) -> None:
    """Also where there are fewer pictures than features, and the covariances are singular."""
    one, other = features(count, length, 0), features(count + 5, length, 1, shift=0.3)
    expected = fidelity.fid_statistics_to_metric(
        fidelity.fid_features_to_statistics(one), fidelity.fid_features_to_statistics(other), False
    )[fidelity.KEY_METRIC_FID]
    found = frechet_distance(statistics(one), statistics(other))
    assert found == pytest.approx(expected, rel=1e-5)
    assert expected > 0.1


def test_gaussians_with_a_known_distance() -> None:
    """Of one feature: (m1 - m2)^2 + (s1 - s2)^2."""
    one, other = torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [9.0]])  # variances 2 and 18
    assert frechet_distance(statistics(one), statistics(other)) == pytest.approx(25 + 8)
    assert frechet_distance(statistics(one), statistics(one)) == pytest.approx(0, abs=1e-9)


def test_merged_shards_give_the_same_as_one() -> None:
    values = features(101, 16, 0) + 1e4  # sums of squares alone would lose the covariance
    whole, parts = statistics(values), [statistics(part, 5) for part in values.split(40)]
    merged = FeatureStatistics()
    for part in parts:
        merged.merge(part)
    merged.merge(FeatureStatistics())
    assert merged.count == whole.count == 101
    assert torch.allclose(merged.mean, whole.mean, rtol=1e-12)
    assert torch.allclose(merged.covariance(), whole.covariance(), rtol=1e-7, atol=1e-9)
    expected = torch.from_numpy(np.cov(values.numpy(), rowvar=False))
    assert torch.allclose(whole.covariance(), expected, rtol=1e-7, atol=1e-9)
    reference = statistics(features(90, 16, 1))
    assert frechet_distance(merged, reference) == pytest.approx(frechet_distance(whole, reference), rel=1e-9)


def test_too_few_pictures_and_other_networks_are_refused() -> None:
    one, other = statistics(features(1, 4, 0)), statistics(features(3, 4, 0))
    with pytest.raises(ValueError, match="1 pictures have no covariance"):
        frechet_distance(one, other)
    with pytest.raises(ValueError, match="use one network"):
        frechet_distance(statistics(features(3, 5, 0)), other)
    with pytest.raises(ValueError, match="use one network"):
        other.update(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="not finite"):
        other.update(torch.full((2, 4), float("nan")))


def test_pictures_are_rounded_as_they_are_saved() -> None:
    values = torch.tensor([-1.0, 1.0, 0.0, 2.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert eight_bit(values)[0, 0].flatten().tolist() == [0, 255, 128, 255]


@pytest.mark.parametrize(
    ("net", "length", "name"),
    [
        ("vgg16", 512, "Frechet distance (VGG16 relu5_3, pooled)"),
        ("alexnet", 256, "Frechet distance (AlexNet relu5, pooled)"),
    ],
)
def test_other_features_are_not_called_fid(net: str, length: int, name: str) -> None:
    network = TrunkFeatures(net, shared_folder("weights") / f"{net}_features.safetensors")
    assert network.distance_name == name
    grey, noise = torch.full((1, 3, 64, 64), 128, dtype=torch.uint8), torch.zeros(1, 3, 64, 64)
    noise = torch.randint(0, 256, noise.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = network(torch.cat([grey, noise]))
    assert found.shape == (2, length)
    assert (found >= 0).all()
    assert not torch.allclose(found[0], found[1])


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    path = tmp_path_factory.mktemp("inception") / "weights.safetensors"
    return write_inception(path), path


def test_inception_features_are_the_librarys(inception: tuple[torch.nn.Module, Path], tmp_path: Path) -> None:
    network, path = inception
    pictures = torch.randint(
        0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    expected = network(pictures)[0]
    for file in (path, tmp_path / "weights.pth"):
        with pytest.warns(UserWarning, match=rf"{file.name} has other weights than the FID reference's"):
            ours = InceptionFeatures(file)
        assert torch.equal(ours(pictures), expected)
    assert expected.shape == (2, 2048)


def test_the_reference_weights_are_downloaded_without_pickled_code(
    inception: tuple[torch.nn.Module, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def download(url: str, **options: object) -> dict[str, torch.Tensor]:
        asked.update(options, url=url)
        return inception[0].state_dict()

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    monkeypatch.setattr(downloads, "unreachable", lambda _: None)
    assert InceptionFeatures().distance_name == "FID"
    assert "weights-inception-2015-12-05" in str(asked["url"])
    assert asked["weights_only"]
    assert asked["check_hash"]


def test_other_files_are_refused(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"fc.weight": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(ValueError, match=r"harmful\.pth cannot be read as tensors"):
        InceptionFeatures(tmp_path / "harmful.pth")
    assert not (tmp_path / "ran").exists()
    save_file({"fc.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors does not hold the FID reference's"):
        InceptionFeatures(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="there is no file"):
        InceptionFeatures(tmp_path / "none.pth")
