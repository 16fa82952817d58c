"""The discriminator that looks at features of an ImageNet-trained network, with drawn weights."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from class_crops import ClassCrops
from diffaugment import DiffAugment
from label_examples import numbered
from test_transfer import drawn, trained_like
from torch import Tensor, nn

from groupdnet_hub import GroupDNetConfig, hinge_discriminator_loss

pytest.importorskip("timm", reason="a discriminator of features needs timm")
from feature_discriminator import DiscriminatorWithHeads, FeatureHeads, FeatureView
from objectives import LossWeights, MultiScaleObjective, logits
from small_parser import save_drawn_lite
from system_choice import build_objective

CPU = torch.device("cpu")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_drawn_lite(tmp_path_factory.mktemp("lite"))


def scene(side: int = 64) -> tuple[Tensor, Tensor]:
    """Label maps of two halves, and their label input."""
    label = torch.zeros(4, side, side, dtype=torch.long)
    label[:, side // 2 :] = 1
    return label, nn.functional.one_hot(label, 2).permute(0, 3, 1, 2).float()


def striped(period: int) -> Tensor:
    """Four pictures of stripes of random brightness."""
    stripes = (torch.arange(64) // period % 2).float() - 0.5
    return stripes.expand(4, 3, 64, 64) * torch.rand(4, 1, 1, 1, generator=seeded(period))


def test_it_learns_to_tell_pictures_apart_and_shows_the_way(weights: Path) -> None:
    """Fine stripes against coarse ones: after some steps its loss is small, and its slope makes one like the other."""
    view, (label, condition) = FeatureView(weights, CPU), scene()
    heads = FeatureHeads(2, generator=seeded(0))
    adam = torch.optim.Adam(heads.parameters(), lr=2e-3)
    fake, real = striped(2), striped(8)
    losses = []
    for _ in range(60):
        said = [logits(heads(*view(label, condition, (picture,), None))) for picture in (fake, real)]
        loss = torch.stack(hinge_discriminator_loss(*said)).sum()
        loss.backward()
        adam.step()
        adam.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(2, abs=0.1)
    assert losses[-1] < 1
    picture = fake.clone().requires_grad_()
    torch.stack(
        [-one.mean() for one in logits(heads(*view(label, condition, (picture,), None)))]
    ).mean().backward()
    assert picture.grad is not None
    better = torch.stack(
        [
            one.mean()
            for one in logits(heads(*view(label, condition, (fake - 0.05 * picture.grad.sign(),), None)))
        ]
    )
    before = torch.stack([one.mean() for one in logits(heads(*view(label, condition, (fake,), None)))])
    assert better.mean() > before.mean()
    assert all(weight.grad is None for weight in view.trunk.parameters())


def test_what_it_says_depends_on_the_label_map(weights: Path) -> None:
    view, (label, condition) = FeatureView(weights, CPU), scene()
    heads = FeatureHeads(2, generator=seeded(0)).eval()
    other = condition.flip(1)
    for a, b in zip(
        logits(heads(*view(label, condition, (striped(4),), None))),
        logits(heads(*view(label, other, (striped(4),), None))),
        strict=True,
    ):
        assert (a - b).abs().max() > 1e-4


def test_windows_and_augmentation_are_the_same_for_label_map_and_pictures(weights: Path) -> None:
    """The picture is the label input itself, in colour: what is seen of both stays the same."""
    label, condition = scene()
    picture = torch.cat((condition, condition[:, :1]), dim=1)
    seen: list[Tensor] = []
    view = FeatureView(weights, CPU, ClassCrops(32, 2, 0, 0, 1))
    view.trunk = lambda shown: seen.append(shown) or []  # type: ignore[assignment]
    maps, _ = view(label, condition, (picture, picture), None)
    assert maps.shape == (8, 2, 32, 32)
    assert torch.equal(seen[0][:, :2], maps)
    assert torch.equal(maps[:4], maps[4:])
    moved, _ = view(label, condition, (picture, picture), DiffAugment(0, 0, 1))
    outside = (moved == 0).all(dim=1)
    assert outside.any()
    assert (seen[1].permute(0, 2, 3, 1)[outside] == 0).all()


def test_an_objective_with_it(weights: Path) -> None:
    model = trained_like(GroupDNetConfig.for_labels(numbered(4), (32, 32), 4)).train()
    image, label, noise = drawn(model.config)
    batch = {"image": image, "label": label}
    objective = MultiScaleObjective(model.config, None, features=FeatureView(weights, CPU))
    assert "feature_adversarial" in objective.used
    judge = objective.make_discriminator(seeded(0))
    assert isinstance(judge, DiscriminatorWithHeads)
    # Its weights are drawn after the other's, which begins as it does without it.
    alone = MultiScaleObjective(model.config, None).make_discriminator(seeded(0))
    assert all(
        torch.equal(value, judge.discriminator.state_dict()[name])
        for name, value in alone.state_dict().items()
    )
    for layers in judge.heads.stages:
        nn.init.constant_(layers[-1].bias, 0.5)
        nn.init.zeros_(layers[-1].weight)
    losses, fakes = objective.generator_losses(
        model, judge, batch, noise, LossWeights(feature_adversarial=3.0)
    )
    assert float(losses["feature_adversarial"].detach()) == pytest.approx(-1.5)
    on_both = objective.discriminator_losses(judge, fakes, batch)
    assert float(on_both["feature_discriminator_fake"].detach()) == pytest.approx(1.5)
    assert float(on_both["feature_discriminator_real"].detach()) == pytest.approx(0.5)
    torch.stack(list(on_both.values())).sum().backward()
    assert all(weight.grad is not None for weight in judge.parameters())
    assert all(weight.grad is None for weight in model.parameters())


def test_what_is_refused(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = FeatureView(weights, CPU)
    config = GroupDNetConfig.for_labels(numbered(4), (32, 32), 4)
    with pytest.raises(ValueError, match="--feature_adversarial_weight has no use: bicyclegan"):
        build_objective("bicyclegan", config, None, None, features=view)
    (tmp_path / "other.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"'other\.safetensors' cannot be read"):
        FeatureView(tmp_path / "other.safetensors", CPU)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match="needs timm: pip install"):
        FeatureView(weights, CPU)
